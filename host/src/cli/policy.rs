//! What is odd about a policy without being wrong.

use camino::Utf8Path;
use whimbrel::config::Config;
use whimbrel::policy::POLICY_FILE;
use whimbrel::project::Project;

/// Where the policy of a project is.
pub(super) fn path(config: &Config) -> &Utf8Path {
    config.policy().unwrap_or(Utf8Path::new(POLICY_FILE))
}

/// One line for each rule that is about no migration.
pub(super) fn warnings(project: &Project, config: &Config) -> Vec<String> {
    let path = path(config);
    let idle = match project.idle_rules() {
        Ok(idle) => idle,
        Err(error) => return vec![format!("{path}: {error}")],
    };
    idle.iter()
        .map(|rule| {
            let line = rule.line.map(|line| format!(":{line}")).unwrap_or_default();
            format!("{path}{line}: no revision is what this rule is about; correct its conditions or remove it")
        })
        .collect()
}
