//! How far replicas are behind.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::batch::read;
use super::error::BackfillError;
use crate::driver::{Session, Statement, Value};

/// What a worker has seen of the replicas.
///
/// The server measures how long a replica takes to replay what it got (`replay_lag`), at the moments at which the replica
/// replays. Of one that has stopped to, it goes on telling what it measured last; so the time since it last moved counts too.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// Where each replica that is behind was seen first, and when.
    stuck: HashMap<i32, (String, Instant)>,
}

/// A replica, as the server tells of it.
struct Replica {
    /// The process that sends to it.
    sender: i32,
    name: String,
    /// Up to where it has replayed.
    place: String,
    is_behind: bool,
    told: Duration,
}

impl Lag {
    /// The replica that is furthest behind, and how far.
    ///
    /// # Errors
    /// When the server does not tell, or not to this role.
    pub(super) async fn look(
        &mut self,
        session: &mut dyn Session,
    ) -> Result<Option<(String, Duration)>, BackfillError> {
        let rows = read(session, &Statement::new(REPLICAS, [])).await?;
        let replicas = rows.iter().map(replica).collect::<Option<Vec<_>>>();
        let replicas = replicas.ok_or_else(|| {
            BackfillError::Unfit(
                "`max-lag` is set, but the server does not show the state of its replicas to this role: grant it \
                 pg_monitor, or take the limit away with `max-lag=none`"
                    .to_owned(),
            )
        })?;
        Ok(self.learn(replicas, Instant::now()))
    }

    fn learn(&mut self, replicas: Vec<Replica>, now: Instant) -> Option<(String, Duration)> {
        let mut stuck = HashMap::new();
        let mut worst: Option<(String, Duration)> = None;
        for replica in replicas.into_iter().filter(|replica| replica.is_behind) {
            let since = match self.stuck.get(&replica.sender) {
                Some((place, since)) if *place == replica.place => *since,
                _ => now,
            };
            let lag = replica.told.max(now.duration_since(since));
            stuck.insert(replica.sender, (replica.place, since));
            if worst.as_ref().is_none_or(|(_, most)| *most < lag) {
                worst = Some((replica.name, lag));
            }
        }
        self.stuck = stuck;
        worst
    }
}

/// `None` where the server does not show it.
fn replica(row: &Vec<Value>) -> Option<Replica> {
    let [
        Value::Int32(sender),
        Value::Text(name),
        Value::Text(place),
        Value::Boolean(is_behind),
        Value::Float64(told),
    ] = row.as_slice()
    else {
        return None;
    };
    Some(Replica {
        sender: *sender,
        name: name.clone(),
        place: place.clone(),
        is_behind: *is_behind,
        told: Duration::try_from_secs_f64(*told).unwrap_or_default(),
    })
}

/// What replays, which receivers of plain files (`pg_receivewal`, backups) do not. The state of others is hidden from a role
/// that may not see it.
const REPLICAS: &str = "SELECT pid, coalesce(nullif(application_name, ''), 'a replica'), \
            CASE WHEN state IS NOT NULL THEN replay_lsn::text END, \
            replay_lsn < pg_catalog.pg_current_wal_lsn(), \
            coalesce(extract(epoch FROM replay_lag), 0)::double precision \
     FROM pg_catalog.pg_stat_replication \
     WHERE state IS NULL OR state IN ('catchup', 'streaming') AND replay_lsn IS NOT NULL";

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(place: &str, is_behind: bool, told: u64) -> Vec<Replica> {
        vec![Replica {
            sender: 1,
            name: "one".to_owned(),
            place: place.to_owned(),
            is_behind,
            told: Duration::from_secs(told),
        }]
    }

    #[test]
    fn one_that_stands_still_is_behind_since_it_does() {
        let mut lag = Lag::default();
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let told = |found: Option<(String, Duration)>| found.map(|(_, lag)| lag.as_secs());
        assert_eq!(told(lag.learn(replica("0/1", true, 0), at(0))), Some(0));
        assert_eq!(told(lag.learn(replica("0/1", true, 0), at(7))), Some(7));
        assert_eq!(told(lag.learn(replica("0/2", true, 3), at(9))), Some(3));
        assert_eq!(told(lag.learn(replica("0/3", false, 3), at(10))), None);
        assert_eq!(told(lag.learn(replica("0/3", true, 0), at(20))), Some(0));
        assert_eq!(told(lag.learn(Vec::new(), at(30))), None);
    }
}
