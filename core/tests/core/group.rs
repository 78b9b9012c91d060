//! Group commit: requests that share a transaction get their own results, and none affects another.

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::clock::Clock;
use callsweep_core::engine::{
    BatchOutcome, Control, Engine, Error, Outcome, PurgeReport, can_be_batched, purge, purge_batch,
    resolve_unknown_commit,
};
use callsweep_core::number::{NewNumber, NumberStatus};
use callsweep_core::result_code::ResultCode;
use callsweep_core::rules::OngoingTask;
use callsweep_core::run::{NewRun, RequestOrigin, RunKind};
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_core::store::{AnyConnection, Backend, Store};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::{self, number};
use callsweep_testkit::{TestDatabase, tables};

use crate::proxy::{self, Cut, When};
use crate::support::{STATUSES, assert_no_violation, campaign, engine, execute, ledger_of, manual};

/// A request of the endpoint that archives the numbers with this sessionId.
fn request(campaign: CampaignId, session_id: &str) -> NewRun {
    let run = manual(campaign, &format!(r#"{{"sessionId":"{session_id}"}}"#), true);
    let key = Some(format!("{campaign} {session_id}"));
    NewRun { kind: RunKind::Request, key, ..run }
}

fn with_idempotency_key(run: NewRun, key: &str) -> NewRun {
    let idempotency_key = Some(key.to_owned());
    let origin = RequestOrigin { id: "r".to_owned(), client_address: "192.0.2.1".to_owned(), idempotency_key };
    NewRun { request: Some(origin), ..run }
}

fn requests(campaign: CampaignId, ids: impl IntoIterator<Item = i64>) -> Vec<NewRun> {
    ids.into_iter().map(|id| request(campaign, &format!("s{id}"))).collect()
}

fn campaign_of_ten(db: &TestDatabase) -> CampaignId {
    campaign(db, 1, &(1..=10).map(number).collect::<Vec<_>>())
}

fn run_group(engine: &Engine, runs: &[NewRun]) -> Vec<BatchOutcome> {
    purge_batch(engine, &mut engine.store.connection().unwrap(), runs)
}

#[track_caller]
fn report_of(together: &BatchOutcome) -> &PurgeReport {
    match together {
        BatchOutcome::Committed(report) => report,
        other => panic!("not executed in the group: {other:?}"),
    }
}

/// How many numbers each request deleted; `None`: the request must be executed alone.
fn deleted_counts(together: &[BatchOutcome]) -> Vec<Option<i64>> {
    together
        .iter()
        .map(|one| matches!(one, BatchOutcome::Committed(_)).then(|| report_of(one).counts.deleted))
        .collect()
}

/// Checks that the ledger and history agree with the results of a group.
fn assert_consistent(db: &TestDatabase, engine: &Engine, results: &[BatchOutcome]) {
    let mut conn = db.connect();
    let filter = RunFilter { limit: u32::MAX, ..RunFilter::default() };
    let reports: Vec<_> =
        results.iter().filter(|one| matches!(one, BatchOutcome::Committed(_))).map(report_of).collect();
    assert_eq!(runs::list(&mut conn, &filter).unwrap().len(), reports.len());
    for report in reports {
        let row = ledger_of(&mut conn, report);
        assert_eq!(
            (row.state.as_str(), row.result_code.map(ResultCode::as_str)),
            ("succeeded", Some(report.result_code().as_str()))
        );
        assert!(row.finished_at.is_some());
        let of_run = |row: &tables::HistoryRow| row.run_id == report.run_id;
        let moved = tables::history(&mut conn, report.campaigns[0].target.campaign_id);
        assert_eq!(i64::try_from(moved.iter().filter(|row| of_run(row)).count()).unwrap(), report.counts.archived);
    }
    assert_no_violation(&engine.store);
}

on_each_backend! {
    fn each_request_gets_its_own_result(db) {
        let (here, there) = (campaign_of_ten(db), campaign(db, 2, &(11..=13).map(number).collect::<Vec<_>>()));
        let mut runs = requests(here, 1..=4);
        runs.extend(requests(there, [12, 99]));
        runs[1].archive_history = false;
        let before = tables::numbers(&mut db.connect(), here);
        let engine = engine(db.store(), 5_000);
        let results = run_group(&engine, &runs);
        assert_eq!(deleted_counts(&results), [Some(1), Some(1), Some(1), Some(1), Some(1), Some(0)]);
        assert_consistent(db, &engine, &results);
        let mut conn = db.connect();
        assert_eq!(Vec::from_iter(tables::ids(&mut conn, here)), (5..=10).collect::<Vec<_>>());
        assert_eq!(Vec::from_iter(tables::ids(&mut conn, there)), [11, 13]);
        // Each number is in history under the run of its request, unchanged.
        let moved = tables::history(&mut conn, here);
        let of = |place: usize| report_of(&results[place]).run_id;
        let wanted = [(1, of(0)), (3, of(2)), (4, of(3))];
        assert_eq!(moved.iter().map(|row| (row.number.id, row.run_id)).collect::<Vec<_>>(), wanted);
        assert!(moved.iter().all(|row| before.contains(&row.number)));
        let row = ledger_of(&mut conn, report_of(&results[5]));
        assert_eq!((row.chunks, row.cursor), (0, None));
    }

    fn a_group_reports_what_the_engine_reports(db) {
        let numbers = |first: i64| -> Vec<NewNumber> {
            let of = |(id, status)| NewNumber { id, status, session_id: number(1).session_id, ..number(id) };
            (first..).zip(STATUSES).map(of).collect()
        };
        let (here, there) = (campaign(db, 1, &numbers(1)), campaign(db, 2, &numbers(1)));
        let engine = engine(db.store(), 5_000);
        for (session_id, archive_history) in [("s1", true), ("s1", true), ("nobody", false)] {
            let run = |campaign| NewRun { archive_history, key: None, ..request(campaign, session_id) };
            let result = run_group(&engine, &[run(here)]);
            let (together, alone) = (report_of(&result[0]), purge(&engine, &run(there), &mut Control::unattended()).unwrap());
            let told = |report: &PurgeReport| {
                let campaign = &report.campaigns[0];
                (report.counts, report.chunks, report.result_code(), campaign.counts, campaign.chunks, campaign.walk)
            };
            assert_eq!(told(together), told(&alone));
            let row = |report: &PurgeReport| {
                let row = ledger_of(&mut db.connect(), report);
                (row.kind, row.actor, row.criteria, row.state, row.result_code, row.counts, row.chunks, row.cursor, row.owner)
            };
            assert_eq!(row(together), row(&alone));
        }
        assert_no_violation(&engine.store);
    }

    fn barred_numbers_stay_and_are_reported_to_their_request(db) {
        let with = |(id, status): (i64, NumberStatus)| NewNumber { status, session_id: number(1).session_id, ..number(id) };
        let mut numbers: Vec<_> = (1..).zip(STATUSES).map(with).collect();
        numbers.extend([number(20), NewNumber { status: NumberStatus::Calling, ..number(21) }]);
        let campaign = campaign(db, 1, &numbers);
        let engine = engine(db.store(), 5_000);
        let results = run_group(&engine, &requests(campaign, [1, 20, 21]));
        assert_eq!(deleted_counts(&results), [Some(1), Some(1), Some(0)]);
        let barred: Vec<_> = results.iter().map(|one| report_of(one).counts.barred).collect();
        assert_eq!((barred[0].ongoing_task, barred[0].call_ongoing, barred[0].call_completed), (1, 1, 2));
        assert_eq!((barred[1].total(), barred[2].call_ongoing, barred[2].total()), (0, 1, 1));
        assert_eq!(report_of(&results[2]).result_code(), ResultCode::StateForbids);
        assert_consistent(db, &engine, &results);
        assert_eq!(Vec::from_iter(tables::ids(&mut db.connect(), campaign)), [2, 3, 4, 5, 21]);
    }

    fn refused_and_unknown_campaigns_are_left_to_the_engine(db) {
        let (here, mut conn) = (campaign_of_ten(db), db.connect());
        let executing = sample::campaign(&mut conn, 2, CampaignStatus::Executing);
        sample::insert(&mut conn, executing, &[number(1)]);
        let foreign = campaign_in_vdn_7(&mut conn);
        let runs = [
            request(executing, "s1"),
            request(foreign, "s1"),
            request(CampaignId::try_from(99).unwrap(), "s1"),
            request(here, "s1"),
        ];
        let engine = engine(db.store(), 5_000);
        let results = run_group(&engine, &runs);
        assert_eq!(deleted_counts(&results), [None, None, None, Some(1)]);
        assert_consistent(db, &engine, &results);
        assert_eq!((tables::ids(&mut conn, executing).len(), tables::ids(&mut conn, foreign).len()), (1, 1));
        // With ongoing_task = "number", an executing campaign keeps only the numbers that the dialler has loaded.
        let by_number = Engine { rules: OngoingTask::Number, ..engine };
        assert_eq!(deleted_counts(&run_group(&by_number, &runs[..1])), [Some(1)]);
    }

    fn a_request_key_is_used_once(db) {
        let (here, engine) = (campaign_of_ten(db), engine(db.store(), 5_000));
        let (first, mut copy, mut other) = (request(here, "s1"), request(here, "s2"), request(here, "s3"));
        copy.key = first.key.clone();
        let results = run_group(&engine, &[first.clone(), copy.clone(), other.clone()]);
        assert_eq!(deleted_counts(&results), [Some(1), None, Some(1)]);
        assert_consistent(db, &engine, &results);
        // And once across groups.
        other.key = None;
        assert_eq!(deleted_counts(&run_group(&engine, &[copy, other, request(here, "s4")])), [None, Some(0), Some(1)]);
        assert_eq!(tables::ids(&mut db.connect(), here).len(), 7);
    }

    fn an_idempotency_key_is_used_once_in_addition_to_the_signature(db) {
        let (here, engine) = (campaign_of_ten(db), engine(db.store(), 5_000));
        let keyed = |session_id: &str, key: &str| with_idempotency_key(request(here, session_id), key);
        // Two requests with one key in the same group, and another one in the next group.
        let results = run_group(&engine, &[keyed("s1", "a"), keyed("s2", "a"), keyed("s3", "b")]);
        assert_eq!(deleted_counts(&results), [Some(1), None, Some(1)]);
        assert_consistent(db, &engine, &results);
        assert_eq!(deleted_counts(&run_group(&engine, &[keyed("s2", "a"), keyed("s4", "c")])), [None, Some(1)]);
        // The signature is unique with any Idempotency-Key, and without one.
        assert_eq!(deleted_counts(&run_group(&engine, &[keyed("s1", "d"), request(here, "s3")])), [None, None]);
        // The same for requests that are executed alone.
        let taken = |run: &NewRun| matches!(purge(&engine, run, &mut Control::unattended()), Err(Error::KeyTaken(_)));
        assert!(taken(&keyed("s2", "a")) && taken(&keyed("s1", "d")) && taken(&request(here, "s3")));
        assert_eq!(tables::ids(&mut db.connect(), here).len(), 7);
        // An Idempotency-Key without a request key is unique, too.
        let without = NewRun { key: None, ..keyed("s5", "e") };
        assert_eq!(deleted_counts(&run_group(&engine, &[without.clone(), without.clone()])), [Some(1), None]);
        assert_eq!(deleted_counts(&run_group(&engine, &[without])), [None]);
        assert_no_violation(&engine.store);
    }

    fn groups_with_the_same_idempotency_keys_do_the_work_once(db) {
        let here = campaign(db, 1, &(1..=60).map(number).collect::<Vec<_>>());
        let engine = engine(db.store(), 5_000);
        // Each thread signs the same deletions again, in a different order.
        let ask = |nth: i64| {
            let runs: Vec<NewRun> = (0..60).map(|id| (id * (2 * nth + 1)) % 60 + 1).map(|id| {
                let run = NewRun { key: Some(format!("{nth} {}", 100 - id)), ..request(here, &format!("s{id}")) };
                with_idempotency_key(run, &format!("i{id}"))
            }).collect();
            let alone = |(one, run): (BatchOutcome, &NewRun)| match one {
                BatchOutcome::Committed(report) => report.counts.deleted,
                _ => match purge(&engine, run, &mut Control::unattended()) {
                    Err(Error::KeyTaken(_)) => 0,
                    done => done.unwrap().counts.deleted,
                },
            };
            runs.chunks(20).flat_map(|runs| run_group(&engine, runs).into_iter().zip(runs)).map(alone).sum::<i64>()
        };
        let sums: Vec<i64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3).map(|nth| scope.spawn({ let ask = &ask; move || ask(nth) })).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(sums.iter().sum::<i64>(), 60, "{sums:?}");
        let filter = RunFilter { limit: u32::MAX, ..RunFilter::default() };
        assert_eq!(runs::list(&mut db.connect(), &filter).unwrap().len(), 60);
        assert_no_violation(&engine.store);
    }

    fn two_requests_for_one_number_act_one_after_the_other(db) {
        let twin = |id| NewNumber { session_id: number(1).session_id, ..number(id) };
        let here = campaign(db, 1, &[twin(1), twin(2), NewNumber { status: NumberStatus::Failed, ..twin(3) }]);
        let by_called = NewRun {
            criteria: crate::support::criteria(&format!(r#"{{"called":"{}"}}"#, String::from(number(2).called))),
            key: None,
            ..request(here, "s1")
        };
        let runs = [by_called.clone(), request(here, "s1"), NewRun { key: None, ..request(here, "s1") }, by_called];
        let engine = engine(db.store(), 5_000);
        let results = run_group(&engine, &runs);
        assert_eq!(deleted_counts(&results), [Some(1), Some(1), Some(0), Some(0)]);
        assert_eq!(results.iter().map(|one| report_of(one).counts.matched).collect::<Vec<_>>(), [1, 2, 1, 0]);
        assert_consistent(db, &engine, &results);
    }

    fn a_request_over_its_bound_does_not_affect_the_others(db) {
        let many = (1..=101).map(|id| NewNumber { session_id: number(1).session_id, ..number(id) });
        let few = (200..=202).map(|id| NewNumber { session_id: number(200).session_id, ..number(id) });
        let here = campaign(db, 1, &many.chain(few).chain((300..=301).map(number)).collect::<Vec<_>>());
        let bound = |max| NewRun { bounds: Bounds { max_rows: Some(max), ..Bounds::default() }, key: None, ..request(here, "s200") };
        let (whole, small) = (engine(db.store(), 5_000), engine(db.store(), 3));
        assert_eq!(deleted_counts(&run_group(&whole, &[request(here, "s1"), bound(2), request(here, "s300")])), [None, None, Some(1)]);
        // A group removes at most as many numbers as a chunk.
        assert_eq!(deleted_counts(&run_group(&small, &[request(here, "s301"), bound(3)])), [Some(1), None]);
        assert_eq!(deleted_counts(&run_group(&small, &[bound(3)])), [Some(3)]);
        assert_eq!(tables::ids(&mut db.connect(), here).len(), 101);
        assert_no_violation(&whole.store);
    }

    fn a_locked_number_delays_only_its_own_request(db) {
        if db.backend() == Backend::Sqlite {
            return; // A writer locks the whole SQLite file.
        }
        let (here, there) = (campaign_of_ten(db), campaign(db, 2, &[number(1)]));
        let engine = engine(db.store(), 5_000);
        let mut holder = db.connect();
        execute(&mut holder, "BEGIN");
        execute(&mut holder, &format!("UPDATE call_data SET status = 1 WHERE campaign_id = {here} AND id = 2"));
        execute(&mut holder, &format!("UPDATE campaign SET status = 2 WHERE id = {there}"));
        let mut runs = requests(here, [1, 2, 3]);
        runs.push(request(there, "s1"));
        let results = run_group(&engine, &runs);
        assert_eq!(deleted_counts(&results), [Some(1), None, Some(1), None]);
        execute(&mut holder, "COMMIT");
        assert_consistent(db, &engine, &results);
        assert_eq!(deleted_counts(&run_group(&engine, &[request(here, "s2"), request(there, "s1")])), [Some(0), None]);
        assert_eq!(tables::ids(&mut db.connect(), there).len(), 1);
    }

    fn a_failed_ledger_insert_rolls_the_group_back(db) {
        let (here, engine) = (campaign_of_ten(db), engine(db.store(), 5_000));
        let mut runs = requests(here, [1, 2]);
        // Longer than its column: the insert into the ledger fails after the numbers were moved.
        runs[1].actor = "a".repeat(101);
        if db.backend() == Backend::Sqlite {
            execute(&mut db.connect(), "CREATE TRIGGER narrow BEFORE INSERT ON purge_run WHEN length(NEW.actor) > 100 \
                                        BEGIN SELECT raise(ABORT, 'too long'); END");
        }
        assert_eq!(deleted_counts(&run_group(&engine, &runs)), [None, None]);
        let mut conn = db.connect();
        assert_eq!((tables::ids(&mut conn, here).len(), tables::history_ids(&mut conn, here).len()), (10, 0));
        assert!(runs::list(&mut conn, &RunFilter::default()).unwrap().is_empty());
    }

    fn an_unanswered_commit_is_looked_up_in_the_ledger(db) {
        if db.backend() == Backend::Sqlite {
            return; // SQLite has no connection that could be lost.
        }
        let here = campaign_of_ten(db);
        for (when, id) in [(When::Before, 1), (When::After, 2)] {
            for key in [Some(format!("key {id}")), None] {
                let id = if key.is_some() { id } else { id + 2 };
                let proxy = proxy::before(db);
                let settings = DatabaseSettings { url: proxy.url.clone().into(), ..DatabaseSettings::default() };
                let engine = engine(Store::open(&settings, Clock::system()).unwrap(), 5_000);
                let run = with_idempotency_key(NewRun { key, ..request(here, &format!("s{id}")) }, &format!("i{id}"));
                proxy.arm(Cut { commit: true, when });
                let result = run_group(&engine, std::slice::from_ref(&run));
                let [BatchOutcome::CommitUnknown(unknown_commit)] = &result[..] else { panic!("{result:?}") };
                let is_gone = !tables::ids(&mut db.connect(), here).contains(&id);
                assert_eq!(is_gone, when == When::After);
                let report = resolve_unknown_commit(&engine, &run, unknown_commit, &mut Control::unattended()).unwrap();
                assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
                assert_eq!(report.counts.archived, 1);
                ledger_of(&mut db.connect(), &report);
                assert!(!tables::ids(&mut db.connect(), here).contains(&id));
            }
        }
        assert_eq!(Vec::from_iter(tables::history_ids(&mut db.connect(), here)), [1, 2, 3, 4]);
        assert_eq!(runs::list(&mut db.connect(), &RunFilter::default()).unwrap().len(), 4);
        assert_no_violation(&db.store());
    }

    fn concurrent_groups_count_each_number_once(db) {
        let here = campaign(db, 1, &(1..=200).map(number).collect::<Vec<_>>());
        let engine = engine(db.store(), 5_000);
        // Each thread requests all numbers in a different order, and executes alone what the group leaves out.
        let sums: Vec<i64> = std::thread::scope(|scope| {
            let ask = |nth: i64| {
                let engine = &engine;
                move || {
                    let ids: Vec<i64> = (0..200).map(|id| (id * (2 * nth + 1)) % 200 + 1).collect();
                    let groups = ids.chunks(20).map(|ids| {
                        let mut runs = requests(here, ids.iter().copied());
                        for run in &mut runs { run.key = None; }
                        let alone = |(one, run): (BatchOutcome, &NewRun)| match one {
                            BatchOutcome::Committed(report) => report.counts.deleted,
                            _ => purge(engine, run, &mut Control::unattended()).unwrap().counts.deleted,
                        };
                        run_group(engine, &runs).into_iter().zip(&runs).map(alone).sum::<i64>()
                    });
                    groups.sum()
                }
            };
            let threads: Vec<_> = (0..3).map(|nth| scope.spawn(ask(nth))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(sums.iter().sum::<i64>(), 200, "{sums:?}");
        assert_eq!(tables::history_ids(&mut db.connect(), here).len(), 200);
        assert_no_violation(&engine.store);
    }
}

fn campaign_in_vdn_7(conn: &mut AnyConnection) -> CampaignId {
    let campaign = sample::campaign(conn, 7, CampaignStatus::Suspended);
    sample::insert(conn, campaign, &[number(1)]);
    execute(conn, "UPDATE campaign SET vdn_id = 7 WHERE id = 7");
    campaign
}

#[test]
fn only_requests_for_one_value_are_grouped() {
    let here = CampaignId::try_from(1).unwrap();
    assert!(can_be_batched(&request(here, "1")));
    let with = |json: &str| NewRun { criteria: crate::support::criteria(json), ..request(here, "1") };
    assert!(can_be_batched(&with(r#"{"called":"1"}"#)));
    for json in
        [r#"{"customField":"1"}"#, r#"{"sessionId":"1","called":"1"}"#, r#"{"sessionId":"1","customField":"1"}"#]
    {
        assert!(!can_be_batched(&with(json)), "{json}");
    }
    assert!(!can_be_batched(&manual(here, r#"{"sessionId":"1"}"#, true)));
    let expect = Bounds { max_percent: Some(1.0), ..Bounds::default() };
    assert!(!can_be_batched(&NewRun { bounds: expect, ..request(here, "1") }));
}
