//! The numbers that are asked for, and the account of them at the end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::number::{CustomField, NewNumber, SessionId};
use callsweep_core::store::AnyConnection;
use callsweep_core::store::schema::{call_data, call_data_history, purge_run};
use callsweep_testkit::attack::Attack;
use callsweep_testkit::{TestDatabase, sample};
use diesel::dsl::count_star;
use diesel::prelude::*;

use super::client::{Became, Tally};

const CAMPAIGNS: i64 = 8;
/// So many numbers wait to be asked for: more than are asked for until it is looked again.
const READY: usize = 10_000;
/// So many are brought at once.
const BATCH: i64 = 500;
/// Rows of the ledger that are read at once.
const PAGE: i64 = 10_000;

pub(super) fn campaign_of(number: i64) -> i64 {
    1 + number % CAMPAIGNS
}

/// Brings numbers as they go.
pub(super) struct Numbers {
    pub(super) ready: Arc<Mutex<VecDeque<i64>>>,
    brought: Arc<AtomicI64>,
    enough: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Numbers {
    /// Makes the campaigns, and begins to bring numbers.
    pub(super) fn supply(db: &TestDatabase) -> Self {
        let mut conn = db.connect();
        for id in 1..=CAMPAIGNS {
            sample::campaign(&mut conn, id, CampaignStatus::Suspended);
        }
        let (ready, brought, enough) = (Arc::<Mutex<VecDeque<i64>>>::default(), Arc::default(), Arc::default());
        let (to, total, stop): (_, Arc<AtomicI64>, Arc<AtomicBool>) =
            (ready.clone(), Arc::clone(&brought), Arc::clone(&enough));
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if to.lock().unwrap().len() >= READY {
                    thread::sleep(Duration::from_millis(10));
                    continue;
                }
                let from = total.load(Ordering::Relaxed);
                bring(&mut conn, from..from + BATCH);
                total.fetch_add(BATCH, Ordering::Relaxed);
                to.lock().unwrap().extend(from..from + BATCH);
            }
        });
        while ready.lock().unwrap().len() < READY && !thread.is_finished() {
            thread::sleep(Duration::from_millis(10));
        }
        Self { ready, brought, enough, thread }
    }

    /// Compares what clients were told with the ledger and the tables, request by request.
    pub(super) fn account(self, db: &TestDatabase, attack: &mut Attack, tally: &Tally) {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        for wrong in tally.wrong.lock().unwrap().drain(..) {
            attack.holds(false, || wrong);
        }
        let mut conn = db.connect();
        let became = tally.became.lock().unwrap();
        let (deleted, archived) = ledger(&mut conn, attack, &became);
        let left: i64 = call_data::table.select(count_star()).get_result(&mut conn).unwrap();
        let history: i64 = call_data_history::table.select(count_star()).get_result(&mut conn).unwrap();
        let brought = self.brought.load(Ordering::Relaxed);
        attack.holds(left + deleted == brought, || format!("{brought} came, {left} are left, {deleted} were deleted"));
        attack.holds(history == archived, || format!("{archived} were archived, {history} are in history"));
    }
}

fn bring(conn: &mut AnyConnection, numbers: std::ops::Range<i64>) {
    for campaign in 1..=CAMPAIGNS {
        let of_campaign = numbers.clone().filter(|number| campaign_of(*number) == campaign);
        let new: Vec<NewNumber> = of_campaign
            .map(|number| NewNumber {
                session_id: Some(SessionId::parse(&format!("n{number}")).unwrap()),
                custom_field: Some(CustomField::parse(&format!("n{number}")).unwrap()),
                ..sample::number(number)
            })
            .collect();
        sample::insert(conn, CampaignId::try_from(campaign).unwrap(), &new);
    }
}

/// Each request that was done is in the ledger once, with its one number; none that was refused is.
fn ledger(conn: &mut AnyConnection, attack: &mut Attack, became: &[Became]) -> (i64, i64) {
    use purge_run as r;
    let mut in_ledger = vec![false; became.len()];
    let (mut deleted, mut archived, mut after) = (0, 0, 0_i64);
    loop {
        let page: Vec<(i64, Option<String>, String, i64, i64)> = r::table
            .filter(r::id.gt(after))
            .order(r::id)
            .limit(PAGE)
            .select((r::id, r::request_id, r::state, r::deleted, r::archived))
            .load(conn)
            .unwrap();
        let Some((last, ..)) = page.last() else { break };
        after = *last;
        for (id, request, state, of_run, to_history) in page {
            let n: usize = request.expect("a request").parse().unwrap();
            attack.holds(!in_ledger[n], || format!("request {n} is in the ledger twice"));
            in_ledger[n] = true;
            attack.holds(became[n] == Became::Done && state == "succeeded" && of_run == 1, || {
                format!("run {id} is {state} and deleted {of_run}; its client was told {:?}", became[n])
            });
            deleted += of_run;
            archived += to_history;
        }
    }
    for (n, became) in became.iter().enumerate() {
        attack.holds(in_ledger[n] == (*became == Became::Done), || {
            format!("request {n}: its client was told {became:?}; in the ledger: {}", in_ledger[n])
        });
    }
    (deleted, archived)
}
