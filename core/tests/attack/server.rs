//! Database servers that are killed and restarted, stopped for a while, or that lose their connections, while a sweep
//! and several clients are active: nothing is lost or done twice.
//!
//! `ATTACK_SERVER_FAULTS=100` sets the number of faults in each test. Stops of a server then last 30 seconds or more,
//! and there are a tenth as many.

use std::thread;
use std::time::Duration;

use callsweep_core::clock::Clock;
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{AnyConnection, Backend, Store};
use callsweep_testkit::attack::{Attack, times};
use callsweep_testkit::{Server, TestDatabase, tables};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::load::{self, Meter, STEPS, check, under_load};
use crate::proxy::{self, Cut, When};
use crate::support::campaign;

/// Makes one test for each database server.
macro_rules! on_each_server {
    ($(fn $name:ident($backend:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            fn on_this_server($backend: Backend) $body

            #[test]
            #[cfg_attr(not(feature = "postgres"), ignore = "the feature `postgres` is not compiled in")]
            fn postgres() {
                if_asked_for(Backend::Postgres, on_this_server);
            }

            #[test]
            #[cfg_attr(not(feature = "mysql"), ignore = "the feature `mysql` is not compiled in")]
            fn mysql() {
                if_asked_for(Backend::Mysql, on_this_server);
            }
        }
    )*};
}

fn if_asked_for(backend: Backend, attack: fn(Backend)) {
    if callsweep_testkit::backends().contains(&backend) {
        attack(backend);
    }
}

fn faults(otherwise: u64) -> u64 {
    times("ATTACK_SERVER_FAULTS", otherwise)
}

/// Runs one load after the other, each on a new campaign, until there were enough faults. `breaks` returns what it
/// injected.
fn attack(what: &str, db: &TestDatabase, store: &Store, faults: u64, mut breaks: impl FnMut(&Meter) -> Vec<String>) {
    let mut attack = Attack::new(what, db.backend());
    for id in 1.. {
        let campaign = campaign(db, id, &load::numbers());
        let before = tables::numbers(&mut db.connect(), campaign);
        let reported = under_load(store, store, campaign, |meter| {
            for fault in breaks(meter) {
                attack.fault(&fault);
            }
        });
        check(&mut attack, &mut db.connect(), &db.store(), (campaign, &before), &reported);
        if attack.faults() >= faults {
            break;
        }
    }
    attack.verify(&db.store());
    attack.end();
}

/// Waits for a random point in the first half of a load.
fn in_the_middle(meter: &Meter) {
    meter.wait(rand::random_range(5..STEPS / 2));
}

/// Terminates a random session of the database. Returns whether there was one.
fn end_a_session(conn: &mut AnyConnection) -> bool {
    #[derive(QueryableByName)]
    struct Session {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let query = match conn.backend() {
        Backend::Postgres => {
            "SELECT pid::bigint AS id FROM pg_stat_activity WHERE datname = current_database() \
             AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY random() LIMIT 1"
        }
        _ => {
            "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist WHERE db = DATABASE() \
             AND id <> CONNECTION_ID() ORDER BY RAND() LIMIT 1"
        }
    };
    let Some(Session { id }) = diesel::sql_query(query).get_result(conn).optional().unwrap() else { return false };
    let end = match conn.backend() {
        Backend::Postgres => format!("SELECT pg_terminate_backend({id})"),
        _ => format!("KILL CONNECTION {id}"),
    };
    // The session may have ended by itself.
    conn.batch_execute(&end).is_ok()
}

on_each_server! {
    fn a_server_that_is_killed_loses_nothing(backend) {
        let mut server = Server::to_be_killed(backend, &[]);
        let db = TestDatabase::on(&server);
        attack("kill the server", &db, &db.store(), faults(3), |meter| {
            in_the_middle(meter);
            server.kill();
            thread::sleep(Duration::from_millis(rand::random_range(0..500)));
            server.start_again();
            vec!["SIGKILL to the server".to_owned()]
        });
    }

    fn a_server_that_stops_for_a_while_loses_nothing(backend) {
        let server = Server::to_be_killed(backend, &[]);
        let db = TestDatabase::on(&server);
        let stops = if faults(0) > 0 { faults(0).div_ceil(10) } else { 1 };
        attack("stop the server", &db, &db.store(), stops, |meter| {
            in_the_middle(meter);
            let frozen = server.freeze();
            let seconds = if faults(0) > 0 { rand::random_range(30..50) } else { 3 };
            thread::sleep(Duration::from_secs(seconds));
            server.thaw(&frozen);
            vec![format!("SIGSTOP to the server for {} s", if seconds < 30 { "3" } else { "30 to 50" })]
        });
    }

    fn connections_that_are_cut_lose_nothing(backend) {
        let db = TestDatabase::new(backend);
        let proxy = proxy::before(&db);
        let settings = DatabaseSettings { url: proxy.url.clone().into(), ..DatabaseSettings::default() };
        let store = Store::open(&settings, Clock::system()).unwrap();
        attack("cut connections", &db, &store, faults(15), |meter| {
            let mut cuts = Vec::new();
            for steps in (5..STEPS / 2).step_by(10) {
                meter.wait(steps);
                let when = [When::Before, When::Meanwhile, When::After][rand::random_range(0..3)];
                let cut = Cut { commit: rand::random(), when };
                proxy.arm(cut);
                while proxy.is_armed() && !meter.is_over() {
                    thread::sleep(Duration::from_millis(1));
                }
                if !proxy.is_armed() {
                    let what = if cut.commit { "a COMMIT" } else { "any message" };
                    cuts.push(format!("connection cut {} {what}", format!("{when:?}").to_lowercase()));
                }
            }
            cuts
        });
    }

    fn sessions_that_are_ended_lose_nothing(backend) {
        let db = TestDatabase::new(backend);
        let mut conn = db.connect();
        attack("terminate sessions", &db, &db.store(), faults(15), |meter| {
            let mut ended = Vec::new();
            for steps in (5..STEPS / 2).step_by(10) {
                meter.wait(steps);
                if end_a_session(&mut conn) {
                    ended.push("session terminated".to_owned());
                }
            }
            ended
        });
    }
}
