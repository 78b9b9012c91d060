//! A MariaDB Galera cluster of three nodes: one node is killed; two nodes write the same rows.
//!
//! Needs the packages `galera-4` and `rsync`; runs only on request: `cargo test … --test attack galera -- --ignored`.
//! `ATTACK_GALERA=20` sets how many nodes are killed; the test of conflicts waits for ten times as many.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use callsweep_core::campaign::CampaignId;
use callsweep_core::store::{AnyConnection, Backend};
use callsweep_testkit::attack::{Attack, times};
use callsweep_testkit::{Server, TestDatabase, sample, tables};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use crate::load::{self, Meter, STEPS, check, under_load};
use crate::support::campaign;

/// The same database on each node.
fn databases(cluster: &[Server]) -> Vec<TestDatabase> {
    let first = TestDatabase::on(&cluster[0]);
    let others: Vec<_> = cluster[1..].iter().map(|node| first.replicated_to(node)).collect();
    let mut databases = vec![first];
    databases.extend(others);
    databases
}

fn status(conn: &mut AnyConnection, name: &str) -> String {
    #[derive(QueryableByName)]
    struct Status {
        #[diesel(sql_type = Text)]
        value: String,
    }
    let query =
        format!("SELECT variable_value AS value FROM information_schema.global_status WHERE variable_name = '{name}'");
    diesel::sql_query(query).get_result::<Status>(conn).unwrap().value
}

/// Waits until a node has applied what was committed on the others.
fn caught_up(db: &TestDatabase) -> AnyConnection {
    #[derive(QueryableByName)]
    struct One {
        #[diesel(sql_type = BigInt)]
        #[allow(dead_code, reason = "that it could be read is what counts")]
        one: i64,
    }
    loop {
        let mut conn = db.connect();
        diesel::sql_query("SET SESSION wsrep_sync_wait = 1").execute(&mut conn).unwrap();
        // A node that has left the cluster, or is joining it, reports that it is not ready.
        if diesel::sql_query("SELECT 1 AS one FROM campaign LIMIT 1").get_results::<One>(&mut conn).is_ok() {
            return conn;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Transactions of a node that were rolled back because of a conflicting one on another node.
fn conflicts(db: &TestDatabase) -> u64 {
    let mut conn = db.connect();
    let counters = ["wsrep_local_cert_failures", "wsrep_local_bf_aborts"];
    counters.map(|counter| status(&mut conn, counter).parse::<u64>().unwrap()).iter().sum()
}

/// A dialler that takes waiting numbers until the load is over. Returns the numbers that it has taken.
fn dial(db: &TestDatabase, campaign: CampaignId, meter: &Meter) -> BTreeSet<i64> {
    let mut conn = db.connect();
    let mut taken = BTreeSet::new();
    while !meter.is_over() {
        let id = rand::random_range(1..=load::NUMBERS);
        // A refused transaction had no effect: a conflicting one was committed first.
        if sample::try_dial(&mut conn, campaign, id, 0, 1).unwrap_or(false) {
            taken.insert(id);
        }
        thread::sleep(Duration::from_millis(3));
    }
    taken
}

#[test]
#[ignore = "needs galera-4 and rsync; run it with --ignored"]
fn a_node_that_is_killed_loses_nothing() {
    let mut attack = Attack::new("kill a node of a cluster", Backend::Mysql);
    let mut cluster = Server::cluster(3);
    let dbs = databases(&cluster);
    for id in 1..=times("ATTACK_GALERA", 3) {
        let victim = usize::try_from(id % 3).unwrap();
        let campaign = campaign(&dbs[0], id.try_into().unwrap(), &load::numbers());
        let before = tables::numbers(&mut caught_up(&dbs[1]), campaign);
        let reported = under_load(&dbs[0].store(), &dbs[1].store(), campaign, |meter| {
            meter.wait(rand::random_range(5..STEPS / 2));
            cluster[victim].kill();
            thread::sleep(Duration::from_millis(rand::random_range(0..500)));
            cluster[victim].start_again();
        });
        attack.fault(["node of the sweep killed", "node of the clients killed", "third node killed"][victim]);
        let survivor = &dbs[(victim + 1) % 3];
        check(&mut attack, &mut caught_up(survivor), &survivor.store(), (campaign, &before), &reported);
        for db in &dbs {
            attack.promises(&mut caught_up(db), campaign, &before);
        }
    }
    for db in &dbs {
        attack.verify(&db.store());
    }
    attack.end();
}

#[test]
#[ignore = "needs galera-4 and rsync; run it with --ignored"]
fn conflicting_writes_on_two_nodes_count_once() {
    let mut attack = Attack::new("write on two nodes of a cluster", Backend::Mysql);
    let cluster = Server::cluster(3);
    let dbs = databases(&cluster);
    let mut seen = 0;
    for id in 1.. {
        let campaign = campaign(&dbs[0], id, &load::wanted_by_all());
        let mut before = tables::numbers(&mut caught_up(&dbs[1]), campaign);
        let mut taken = BTreeSet::new();
        let reported = under_load(&dbs[0].store(), &dbs[1].store(), campaign, |meter| {
            taken = dial(&dbs[1], campaign, meter);
        });
        // Numbers that the dialler has taken stay in call_data with status 1.
        for number in before.iter_mut().filter(|number| taken.contains(&number.id)) {
            number.status = 1;
        }
        check(&mut attack, &mut caught_up(&dbs[2]), &dbs[2].store(), (campaign, &before), &reported);
        let left = tables::ids(&mut caught_up(&dbs[2]), campaign);
        for id in &taken {
            attack.holds(left.contains(id), || format!("number {id} was taken by the dialler and removed"));
        }
        attack.holds(!taken.is_empty(), || "the dialler took nothing".to_owned());
        let conflicts = dbs.iter().map(conflicts).sum();
        (seen..conflicts).for_each(|_| attack.fault("conflicts of two nodes"));
        seen = conflicts;
        if attack.faults() >= 10 * times("ATTACK_GALERA", 3) {
            break;
        }
    }
    for db in &dbs {
        attack.verify(&db.store());
    }
    attack.end();
}
