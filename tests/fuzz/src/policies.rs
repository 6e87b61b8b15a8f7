//! Policies: what their rules may and may not change about a verdict.

use whimbrel::capability::{Capabilities, Limits};
use whimbrel::digest::Digest;
use whimbrel::policy::{Decision, Facts, Policy, Rule, Subject};
use whimbrel::signature::Signature;

pub(crate) const SEEDS: &[&str] = &[
    "[[rule]]\nkind = \"component\"\ngrant = [\"select *\", \"update users(email)\"]\ndeny = [\"select users(password)\"]\n",
    "[[rule]]\nrevisions = [\"5b*\", \"a1\"]\nlabels = [\"peo*\"]\ngrant = [\"create table tag_*\", \"insert *.*\"]\n\n[[rule]]\ndeny = [\"create table *\"]\n",
    "[[rule]]\ncomponents = [\"migrations/*/migration.wasm\", \"sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881\"]\ngrant = [\"select users(id)\"]\ncap = { memory = \"64MiB\", time = \"2s\", rows-written = 5, handles = 1 }\n",
    "[[rule]]\nkind = \"sql\"\ngrant = [\"code view *\", \"extension \\\"uuid-ossp\\\"\"]\ncap = { statements = 10, fuel = 1, log-lines = 3, log-bytes = \"1KiB\" }\n[[rule]]\n# all\ngrant = [\"delete logs\"]\n",
    "[signers]\nrelease = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"\n[[rule]]\nsigners = [\"rel*\"]\ngrant = [\"select *\"]\n",
];

/// What is asked for, from nothing to more than most rules give.
const REQUESTS: [&str; 3] = [
    "",
    "select users(id, email); update users(email)",
    "select *; create table tag_x; insert app.t; code view v; delete logs",
];

fn decide(policy: &Policy, subject: Subject<'_>, request: Option<&Capabilities>) -> Decision {
    let labels = ["people".to_owned()];
    let facts = Facts {
        revision: "5b61",
        labels: &labels,
        subject,
    };
    policy.decide(&facts, request, Limits::default())
}

/// Whatever the rules say: their order means nothing, a cap only lowers, a rule less grants no more than a rule that grants
/// gave, and who is admitted gets what was asked for.
pub(crate) fn policy(text: &str) {
    let policy = match Policy::parse(text) {
        Ok(policy) => policy,
        Err(error) => {
            let lines = u32::try_from(text.split('\n').count()).unwrap_or(u32::MAX);
            assert!(
                !error.message.is_empty() && !error.message.contains('\n'),
                "{text:?}: {error:?}"
            );
            assert!(
                error.line.is_none_or(|line| (1..=lines).contains(&line)),
                "{text:?}: {error:?}"
            );
            return;
        }
    };
    let signed = Signature::By(vec!["release".to_owned()]);
    let component = |signature| Subject::Component {
        path: "migrations/5b61_x/migration.wasm",
        digest: Some(Digest::of(b"x")),
        signature,
    };
    let subjects = [
        component(&Signature::Absent),
        component(&signed),
        Subject::Sql {
            path: "migrations/5b61_x.sql",
        },
    ];
    let backwards = Policy {
        rules: policy.rules.iter().rev().cloned().collect(),
        signers: policy.signers.clone(),
    };
    for subject in subjects {
        for request in REQUESTS {
            let asked: Capabilities = request.parse().unwrap_or_default();
            for request in [None, Some(&asked)] {
                let decision = decide(&policy, subject, request);
                let other = decide(&backwards, subject, request);
                assert_eq!(decision.grant, other.grant, "{text:?} in another order");
                assert_eq!(
                    decision.is_admitted(),
                    other.is_admitted(),
                    "{text:?} in another order"
                );
                assert_eq!(decision.is_admitted(), decision.reasons().is_empty());
                let (limits, own) = (decision.grant.limits, Limits::default());
                assert!(
                    limits.memory <= own.memory
                        && limits.time <= own.time
                        && limits.handles <= own.handles,
                    "{text:?} gives {limits:?}"
                );
                without_each(&policy, |left_out, fewer| {
                    let fewer = decide(fewer, subject, request);
                    let only_grants = left_out.deny.is_empty();
                    assert!(
                        !only_grants || decision.is_admitted() || !fewer.is_admitted(),
                        "{text:?}: {left_out:?} takes something away"
                    );
                    let only_denies = left_out.grant.is_empty();
                    assert!(
                        !only_denies || fewer.is_admitted() || !decision.is_admitted(),
                        "{text:?}: {left_out:?} gives something"
                    );
                });
            }
        }
    }
}

/// The policy without each of its rules in turn.
fn without_each(policy: &Policy, mut then: impl FnMut(&Rule, &Policy)) {
    for (at, left_out) in policy.rules.iter().enumerate() {
        let mut rules = policy.rules.clone();
        rules.remove(at);
        let signers = policy.signers.clone();
        then(left_out, &Policy { rules, signers });
    }
}
