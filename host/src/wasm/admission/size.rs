//! What bounds the time and memory that compiling a component takes, by counting what it is made of.
//!
//! The compiler is fast in the length of code, and slow in products: a value that is live across many branches costs
//! with each of them, a function that returns a thousand values with each jump that carries them, and a component that
//! instantiates another twice, which does so again, with the power of its depth. A few megabytes of such code take hours
//! and all memory. Programs that compilers write have nothing of the kind, so each product has a bound of its own.

use wasmparser::{BlockType, CompositeInnerType, FunctionBody, Operator, Parser, Payload};

use super::{malformed, refuse};
use crate::migration::MigrationError;

/// One thing that is counted, and how much of it a component may have.
struct Bound {
    /// What it is called where it is exceeded.
    what: &'static str,
    most: u64,
}

/// Each is more than twice what the largest known guest has, CPython's, and most are a multiple of that.
const DEPTH: Bound = bound("levels of components within components", 8);
const MODULES: Bound = bound("core modules", 64);
const COMPONENTS: Bound = bound("components within it", 16);
/// Components can instantiate components that do: `n` of them make up to `3^(n/3)` instances.
const INSTANTIATIONS: Bound = bound("instances of components", 12);
const ITEMS: Bound = bound(
    "types, imports, functions, exports and other definitions",
    200_000,
);
const CODE: Bound = bound("bytes of code", 32 << 20);
const FUNCTION: Bound = bound("bytes in one function", 1 << 20);
const LOCALS: Bound = bound("locals in one function", 2_000);
const NESTING: Bound = bound("blocks within blocks", 5_000);
/// A value that a loop carries costs in each loop around it.
const LOOPS: Bound = bound("loops within loops", 64);
const RESULTS: Bound = bound("results of one function or block", 32);
/// Branches times locals, over all functions: what it costs to know in each place which value each local has.
const FLOW: Bound = bound("branches times locals of their functions", 20_000_000);
/// The same in one function, whose analysis is in memory at once.
const FUNCTION_FLOW: Bound = bound("branches times locals in one function", 500_000);

const fn bound(what: &'static str, most: u64) -> Bound {
    Bound { what, most }
}

impl Bound {
    fn check(&self, found: u64) -> Result<(), MigrationError> {
        if found <= self.most {
            return Ok(());
        }
        Err(refuse(format!(
            "it has {found} {}; at most {} are compiled",
            self.what, self.most
        )))
    }
}

/// What a component has of it all.
#[derive(Debug, Default)]
struct Size {
    depth: u64,
    modules: u64,
    components: u64,
    instantiations: u64,
    items: u64,
    code: u64,
    flow: u64,
    /// The parameters of each type of the module that is being read; none of what is no function.
    parameters: Vec<Option<u64>>,
    /// The type of each of its functions that has code.
    functions: Vec<u32>,
    bodies: usize,
}

/// Checks that compiling a component ends soon, without compiling any of it.
///
/// # Errors
/// [`MigrationError::Admission`] with what the component has too much of.
pub(in crate::wasm) fn check(bytes: &[u8]) -> Result<(), MigrationError> {
    let mut size = Size::default();
    for payload in Parser::new(0).parse_all(bytes) {
        size.add(payload.map_err(malformed)?)?;
    }
    Ok(())
}

impl Size {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), MigrationError> {
        let items = match payload {
            Payload::Version { .. } => {
                self.parameters.clear();
                self.functions.clear();
                self.bodies = 0;
                self.depth += 1;
                // The component itself is the first level.
                return DEPTH.check(self.depth - 1);
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                return Ok(());
            }
            Payload::ModuleSection { .. } => {
                self.modules += 1;
                return MODULES.check(self.modules);
            }
            Payload::ComponentSection { .. } => {
                self.components += 1;
                return COMPONENTS.check(self.components);
            }
            Payload::CodeSectionEntry(body) => return self.add_function(&body),
            Payload::TypeSection(section) => {
                let items = section.count();
                for group in section {
                    for ty in group.map_err(malformed)?.into_types() {
                        self.parameters.push(match &ty.composite_type.inner {
                            CompositeInnerType::Func(function) => {
                                RESULTS.check(function.results().len() as u64)?;
                                Some(function.params().len() as u64)
                            }
                            _ => None,
                        });
                    }
                }
                items
            }
            Payload::FunctionSection(section) => {
                let items = section.count();
                // The count comes first, so that it is not taken on trust for memory.
                ITEMS.check(self.items.saturating_add(u64::from(items)))?;
                for ty in section {
                    self.functions.push(ty.map_err(malformed)?);
                }
                items
            }
            Payload::ImportSection(section) => section.count(),
            Payload::TableSection(section) => section.count(),
            Payload::MemorySection(section) => section.count(),
            Payload::TagSection(section) => section.count(),
            Payload::GlobalSection(section) => section.count(),
            Payload::ExportSection(section) => section.count(),
            Payload::ElementSection(section) => section.count(),
            Payload::DataSection(section) => section.count(),
            Payload::InstanceSection(section) => section.count(),
            Payload::CoreTypeSection(section) => section.count(),
            Payload::ComponentInstanceSection(section) => {
                self.instantiations += u64::from(section.count());
                INSTANTIATIONS.check(self.instantiations)?;
                section.count()
            }
            Payload::ComponentAliasSection(section) => section.count(),
            Payload::ComponentTypeSection(section) => section.count(),
            Payload::ComponentCanonicalSection(section) => section.count(),
            Payload::ComponentImportSection(section) => section.count(),
            Payload::ComponentExportSection(section) => section.count(),
            _ => 0,
        };
        self.items = self.items.saturating_add(u64::from(items));
        ITEMS.check(self.items)
    }

    fn add_function(&mut self, body: &FunctionBody<'_>) -> Result<(), MigrationError> {
        let range = body.range();
        let length = range.end - range.start;
        FUNCTION.check(length)?;
        self.code += length;
        CODE.check(self.code)?;
        let ty = self.functions.get(self.bodies).copied();
        self.bodies += 1;
        let mut locals = ty.and_then(|ty| self.parameters_of(ty)).unwrap_or_default();
        for group in body.get_locals_reader().map_err(malformed)? {
            locals += u64::from(group.map_err(malformed)?.0);
            LOCALS.check(locals)?;
        }
        let mut branches = 1_u64;
        // Whether each block that is open is a loop.
        let mut open = Vec::new();
        let mut loops = 0_u64;
        let mut operators = body.get_operators_reader().map_err(malformed)?;
        while !operators.eof() {
            let operator = operators.read().map_err(malformed)?;
            match operator {
                Operator::Block { blockty }
                | Operator::Loop { blockty }
                | Operator::If { blockty }
                | Operator::TryTable {
                    try_table: wasmparser::TryTable { ty: blockty, .. },
                } => {
                    branches += 1;
                    let is_loop = matches!(operator, Operator::Loop { .. });
                    loops += u64::from(is_loop);
                    LOOPS.check(loops)?;
                    open.push(is_loop);
                    NESTING.check(open.len() as u64)?;
                    if let BlockType::FuncType(ty) = blockty {
                        RESULTS.check(self.parameters_of(ty).unwrap_or_default())?;
                    }
                }
                Operator::End => loops -= u64::from(open.pop().unwrap_or_default()),
                Operator::BrTable { targets } => branches += u64::from(targets.len()) + 1,
                Operator::Else
                | Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::BrOnNull { .. }
                | Operator::BrOnNonNull { .. }
                | Operator::BrOnCast { .. }
                | Operator::BrOnCastFail { .. }
                | Operator::Return => branches += 1,
                _ => {}
            }
        }
        let flow = branches.saturating_mul(locals);
        FUNCTION_FLOW.check(flow)?;
        self.flow = self.flow.saturating_add(flow);
        FLOW.check(self.flow)
    }

    fn parameters_of(&self, ty: u32) -> Option<u64> {
        self.parameters.get(ty as usize).copied().flatten()
    }
}
