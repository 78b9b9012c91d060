//! On PostgreSQL: Callsweep, pgbench, and the endpoint in other frameworks.

use callsweep_core::store::Backend;
use callsweep_testkit::{big, measure};

use crate::Size;
use crate::data::Data;
use crate::ours;
use crate::peers::PEERS;
use crate::pgbench;
use crate::process::Failure;
use crate::report::{Comparison, Goal, Report};
use crate::turns::{Contender, drive, take_turns};
use crate::wrk;

const OURS: &str = "Callsweep, PostgreSQL";
const ONE_STATEMENT: &str = "pgbench, one statement";
const TRANSACTION: &str = "pgbench, one transaction of several statements";
const WITHOUT_LEDGER: &str = "pgbench, one statement without the ledger row";

/// Compares Callsweep with pgbench (`sql`) and with other frameworks (`http`).
pub(crate) fn measure(size: Size, sql: bool, http: bool, report: &mut Report) -> Result<(), Failure> {
    if report.lacks("PostgreSQL", wrk::installed(), wrk::MISSING) {
        return Ok(());
    }
    let sql = sql && !report.lacks("pgbench", pgbench::installed(), pgbench::MISSING);
    let data = Data { numbers: size.numbers };
    let full = big::database(Backend::Postgres, data.numbers);
    report.version(measure::version(&mut full.connect()));
    let dir = tempfile::tempdir()?;
    let dir = dir.path();

    let mut contenders = vec![ours::contender(OURS, size, data, dir)];
    let mut comparisons = Vec::new();
    if sql {
        let scripts = [
            (ONE_STATEMENT, "one_statement.sql", true),
            (TRANSACTION, "transaction.sql", true),
            (WITHOUT_LEDGER, "one_statement_without_ledger.sql", false),
        ];
        contenders.extend(scripts.map(|(name, script, ledger)| {
            Contender::new(name, move |database| pgbench::run(script, ledger, size, data, database.url(), dir))
        }));
        comparisons.push(Comparison::new(OURS, ONE_STATEMENT, &[Goal::RateAtLeast(0.8), Goal::P99AtMost(1.5)]));
        comparisons.push(Comparison::new(OURS, TRANSACTION, &[]));
        comparisons.push(Comparison::new(ONE_STATEMENT, WITHOUT_LEDGER, &[]));
    }
    for peer in PEERS.into_iter().filter(|_| http) {
        if let Err(missing) = peer.install() {
            report.miss(missing);
            continue;
        }
        contenders.push(Contender::new(peer.name, move |database| {
            let (running, address) = peer.start(database.url(), dir)?;
            let run = drive(size, data, address, dir);
            running.stop()?;
            run
        }));
        comparisons.push(Comparison::new(
            OURS,
            peer.name,
            &peer.goal.map(Goal::RateAtLeast).into_iter().collect::<Vec<_>>(),
        ));
    }
    let measured = take_turns(size, &full, data, &contenders)?;
    report.add(&comparisons, &measured)
}
