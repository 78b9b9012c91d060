//! Calls that remove numbers: what they answer, and what is left.

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::number::{Called, NumberStatus};
use callsweep_core::result_code::ResultCode;
use callsweep_core::rules::OngoingTask;
use callsweep_core::store::Backend;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_core::store::schema::call_data_history;
use callsweep_testkit::on_each_backend;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::Bool;
use diesel::{QueryDsl, RunQueryDsl};

use crate::http::{self, Members};
use crate::server::{CAMPAIGN, Call, EXECUTING, TestServer, add_campaign, path};

const DONE: &str = "0200000";

fn members(code: &str, count: i64, desc: &str) -> Members {
    Members { code: code.to_owned(), count, desc: desc.to_owned() }
}

on_each_backend! {
    fn the_answer_is_the_page_s_to_the_byte(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1")]);
        let response = server.send(&Call::new(r#"{"sessionId":"1"}"#));
        let expected = r#"{"resultCode":"0200000","resultDesc":"","returnCode":"0200000","returnDesc":"","successCount":1}"#;
        assert_eq!((response.status, response.body.as_str()), (200, expected));
        assert_eq!(response.header("content-type"), Some("application/json; charset=UTF-8"));
        assert_eq!(server.delete(r#"{"sessionId":"1"}"#), members(DONE, 0, ""));
    }

    fn a_column_that_is_added_while_the_server_runs_is_archived_or_nothing_is(db) {
        let server = TestServer::start(db);
        server.add(&["1", "2", "3", "4"].map(|id| server.number(id)));
        let body = |id: &str| format!(r#"{{"sessionId":"{id}","archiveHistory":1}}"#);
        assert_eq!(server.delete(&body("1")), members(DONE, 1, ""));
        let mut conn = db.connect();
        conn.batch_execute("ALTER TABLE call_data ADD COLUMN agent VARCHAR(10)").unwrap();
        conn.batch_execute("UPDATE call_data SET agent = 'Eve'").unwrap();
        for _ in 0..2 {
            let refused = server.delete(&body("2"));
            assert_eq!((refused.code.as_str(), refused.count), ("0200006", 0));
        }
        assert_eq!(server.count(), 3);
        assert_eq!(server.delete(r#"{"sessionId":"3"}"#), members(DONE, 1, ""));
        conn.batch_execute("ALTER TABLE call_data_history ADD COLUMN agent VARCHAR(10)").unwrap();
        assert_eq!(server.delete(&body("2")), members(DONE, 1, ""));
        assert_eq!(server.delete(r#"{"sessionId":"4","customField":"batch","archiveHistory":1}"#), members(DONE, 1, ""));
        let kept = call_data_history::table.filter(sql::<Bool>("agent = 'Eve'")).count().get_result::<i64>(&mut conn);
        assert_eq!(kept.unwrap(), 2);
    }

    fn calls_go_on_when_a_column_changes_its_type(db) {
        let server = TestServer::start(db);
        let ids: Vec<String> = (0..40).map(|id| id.to_string()).collect();
        server.add(&ids.iter().map(|id| server.number(id)).collect::<Vec<_>>());
        for (nth, id) in ids.iter().enumerate() {
            // One that looks for its campaign alone, and one that shares a transaction.
            let filter = if nth % 2 == 0 { r#","customField":"batch""# } else { "" };
            assert_eq!(server.delete(&format!(r#"{{"sessionId":"{id}"{filter}}}"#)), members(DONE, 1, ""), "{id}");
            if nth == 19 {
                let alter = match db.backend() {
                    Backend::Sqlite => "ALTER TABLE campaign ADD COLUMN note VARCHAR(120)",
                    Backend::Postgres => "ALTER TABLE campaign ALTER name TYPE VARCHAR(120)",
                    Backend::Mysql => "ALTER TABLE campaign MODIFY name VARCHAR(120) NOT NULL",
                };
                db.connect().batch_execute(alter).unwrap();
            }
        }
    }

    fn every_filter_alone_and_together(db) {
        let server = TestServer::start(db);
        let with = |session_id: &str, called: &str, time: Option<&str>| {
            let mut number = server.number(session_id);
            number.called = Called::parse(called).unwrap();
            number.recycle_time = time.map(|time| time.replace(' ', "T").parse().unwrap());
            number
        };
        server.add(&[
            with("a", "*1#", None),
            with("b", "2", Some("2020-12-03 23:59:59")),
            with("c", "3", Some("2020-12-04 00:00:00")),
            with("d", "4", Some("2020-12-04 17:57:00")),
            with("e", "5", Some("2020-12-05 00:00:00")),
            with("f", "6", None),
            with("g", "6", None),
        ]);
        let at = |recycle_type: &str| format!(r#"{{"recycleTime":"2020-12-04 17:57:00","recycleType":"{recycle_type}"}}"#);
        assert_eq!(server.delete(r#"{"sessionId":"f","called":"5"}"#), members(DONE, 0, ""), "filters are ANDed");
        assert_eq!(server.delete(r#"{"sessionId":"f","called":"6","customField":"batch"}"#), members(DONE, 1, ""));
        assert_eq!(server.delete(r#"{"called":"*1#"}"#), members(DONE, 1, ""));
        assert_eq!(server.delete(&at("3")), members(DONE, 1, ""));
        assert_eq!(server.delete(&at("2")), members(DONE, 1, ""));
        assert_eq!(server.delete(&at("1")), members(DONE, 1, ""));
        assert_eq!(server.delete(r#"{"customField":"batch"}"#), members(DONE, 2, ""));
        assert_eq!(server.count(), 0);
    }

    fn the_longest_values_and_escaped_names_are_taken(db) {
        let server = TestServer::start(db);
        let session_id = "字".repeat(32);
        server.add(&[server.number(&session_id), server.number("x"), server.number("y")]);
        let body = format!(" {{\"session\\u0049d\" : \"{session_id}\", \"called\": null, \"archiveHistory\": 0 }}\r\n");
        assert_eq!(server.delete(&body), members(DONE, 1, ""));
        let longest = format!(r#"{{"customField":"{}"}}"#, "字".repeat(200));
        assert_eq!(server.delete(&longest), members(DONE, 0, ""));
        let called = format!(r#"{{"called":"{}"}}"#, "*".repeat(24));
        assert_eq!(server.delete(&called), members(DONE, 0, ""));
        assert_eq!(server.count(), 2);
    }

    fn what_is_archived_is_in_the_history(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1"), server.number("2")]);
        assert_eq!(server.delete(r#"{"sessionId":"1","archiveHistory":1}"#), members(DONE, 1, ""));
        assert_eq!(server.delete(r#"{"sessionId":"2","archiveHistory":0}"#), members(DONE, 1, ""));
        let in_history: i64 = call_data_history::table.count().get_result(&mut db.connect()).unwrap();
        assert_eq!((server.count(), in_history), (0, 1));
    }

    fn barred_numbers_stay_and_the_answer_says_so(db) {
        let server = TestServer::start(db);
        let with = |status: NumberStatus| {
            let mut number = server.number("1");
            number.status = status;
            number
        };
        let barred = [NumberStatus::Loaded, NumberStatus::Calling, NumberStatus::Failed, NumberStatus::Succeeded];
        server.add(&barred.map(with));
        server.add(&[server.number("1")]);
        let reasons = "4 stayed: 1 call ongoing, 2 call completed, 1 in an ongoing task";
        assert_eq!(server.delete(r#"{"sessionId":"1"}"#), members(DONE, 1, reasons));
        let all_barred = format!("The number cannot be deleted in the current state. {reasons}");
        assert_eq!(server.delete(r#"{"sessionId":"1"}"#), members("0200028", 0, &all_barred));
        let chinese = server.send(&Call::new(r#"{"sessionId":"1"}"#).header("locale", "zh_CN")).members();
        let reasons = "4个号码未删除：1个通话中，2个呼叫已完成，1个在进行中的任务中";
        assert_eq!(chinese, members("0200028", 0, &format!("当前状态下不允许删除号码。{reasons}")));
        assert_eq!(server.count(), 4);
    }

    fn an_executing_campaign_gives_numbers_only_by_the_other_rule(db) {
        let server = TestServer::start_with(db, |settings| settings.rules.ongoing_task = OngoingTask::Number);
        let response = server.send(&Call::new(r#"{"sessionId":"1"}"#).to(1, EXECUTING));
        assert_eq!(response.members(), members(DONE, 0, ""));
    }

    fn calls_at_once_count_each_row_once(db) {
        let server = TestServer::start(db);
        let numbers: Vec<_> = (0..500).map(|n| server.number(&n.to_string())).collect();
        server.add(&numbers);
        let sum: i64 = std::thread::scope(|scope| {
            let calls: Vec<_> =
                (0..32).map(|_| scope.spawn(|| server.delete(r#"{"customField":"batch"}"#))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).map(|members| {
                assert_eq!(members.code, DONE, "{members:?}");
                members.count
            }).sum()
        });
        assert_eq!((sum, server.count()), (500, 0));
    }

    fn the_ledger_names_the_caller(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1")]);
        server.delete(r#"{"sessionId":"1","archiveHistory":1}"#);
        let found = runs::list(&mut server.store.connection().unwrap(), &RunFilter::default()).unwrap();
        let [run] = found.as_slice() else { panic!("not one run: {found:?}") };
        assert_eq!((run.kind.as_str(), run.actor.as_str(), run.state.as_str()), ("request", "globalaktest", "succeeded"));
        let (vdn, campaign) = (run.vdn_id.map(VdnId::get), run.campaign_id.map(CampaignId::get));
        assert_eq!((vdn, campaign, run.archive_history), (Some(1), Some(CAMPAIGN), true));
        assert_eq!((run.counts.matched, run.counts.deleted, run.counts.archived, run.counts.barred.total()), (1, 1, 1, 0));
        assert_eq!(run.result_code.map(ResultCode::as_str), Some(DONE));
    }

    fn a_database_that_fails_is_told_without_its_words(db) {
        let server = TestServer::start(db);
        db.connect().batch_execute("ALTER TABLE call_data RENAME TO hidden").unwrap();
        let failed = members("0200006", 0, "Database operation error.");
        assert_eq!(server.delete(r#"{"sessionId":"1"}"#), failed);
        let executing = server.send(&Call::new(r#"{"sessionId":"1"}"#).to(1, EXECUTING));
        assert_eq!(executing.members().code, "0200028", "the state comes before the database");
    }

    fn a_server_without_a_free_connection_asks_to_come_back(db) {
        let server = TestServer::start_with(db, |settings| settings.database.pool_size = std::num::NonZeroU32::MIN);
        server.add(&[server.number("1")]);
        let held = server.store.connection().unwrap();
        let response = server.send(&Call::new(r#"{"sessionId":"1"}"#));
        assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
        let desc = "Database operation error. the server is busy, try again";
        assert_eq!(response.members(), members("0200006", 0, desc));
        assert_eq!(http::get(server.ops_address, "/healthz").status, 200, "health checks still answer");
        drop(held);
        assert_eq!(server.delete(r#"{"sessionId":"1"}"#), members(DONE, 1, ""));
    }

    fn a_vdn_sees_only_its_own_campaigns(db) {
        let server = TestServer::start(db);
        add_campaign(&server.store, i64::MAX, callsweep_core::campaign::CampaignStatus::Draft);
        let call = Call::new(r#"{"sessionId":"1"}"#);
        assert_eq!(server.send(&call.clone().path(path(1, i64::MAX))).members(), members(DONE, 0, ""));
        assert_eq!(server.send(&call.path(path(7, i64::MAX))).members().code, "0200007");
    }
}
