//! Input that nobody means well with: files that are no lists, settings that are no settings.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};

use callsweep_core::campaign::CampaignStatus;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{sample, tables};
use serde_json::json;

use crate::program::{Worker, says};

/// A line of this length in the long form: `TEST_LINE_BYTES=1000000000`.
fn line_bytes() -> u64 {
    std::env::var("TEST_LINE_BYTES").map_or(64 << 20, |bytes| bytes.parse().expect("TEST_LINE_BYTES is a number"))
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

on_each_backend! {
    fn a_file_in_another_encoding_or_packed_is_named_for_what_it_is(db) {
        sample::campaign(&mut db.connect(), 5, CampaignStatus::Draft);
        let worker = Worker::on(db);
        let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 200]].concat();
        let unicode = [&[0xff, 0xfe][..], &utf16("called\n138\n")].concat();
        for (content, word) in [
            (gzip, "compressed"),
            (b"PK\x03\x04 a workbook".to_vec(), "compressed"),
            (unicode, "UTF-16"),
            (utf16("called\n138\n"), "UTF-16"),
            (vec![0; 4_096], "no header"),
            (b"called\xe9\n138\n".to_vec(), "no header"),
        ] {
            worker.write("numbers.csv", &content);
            let refused = worker.refuses(2, "import numbers.csv --vdn 1 --campaign 5");
            says(&refused, &["numbers.csv", word]);
        }
    }

    fn each_bad_line_is_rejected_and_the_good_ones_come_in(db) {
        let campaign = sample::campaign(&mut db.connect(), 5, CampaignStatus::Draft);
        let worker = Worker::on(db);
        let mut content = b"called,callData\n138,good\n139,caf\xe9\n140,nul\0nul\n141,\"a \"\" quote\"\n".to_vec();
        content.extend_from_slice(b"142,\"a quote that never ends\n143,good\r\n\n\r\n144,'; DROP TABLE call_data; --\n");
        content.extend_from_slice(b"145,a\"b\n\xef\xbb\xbf146,x\n147,last");
        worker.write("numbers.csv", &content);
        let report = worker.reports_json(6, "import numbers.csv --vdn 1 --campaign 5");
        let called: Vec<String> = tables::numbers(&mut db.connect(), campaign).into_iter().map(|row| row.called).collect();
        assert_eq!(called, ["138", "141", "143", "144", "145", "147"], "{report}");
        assert_eq!((&report["imported"], &report["rejected"]), (&json!(6), &json!(4)));
        let rejected = std::fs::read(worker.dir().join("numbers.csv.rejected.csv")).unwrap();
        let rejected = String::from_utf8_lossy(&rejected).into_owned();
        says(&rejected, &["3,", "4,", "6,", "never ends", "quotes do not match"]);
    }

    fn a_line_without_end_takes_no_memory(db) {
        let campaign = sample::campaign(&mut db.connect(), 5, CampaignStatus::Draft);
        let worker = Worker::on(db);
        // A hole in the file reads as zeros.
        let mut file = File::create(worker.dir().join("numbers.csv")).unwrap();
        file.write_all(b"called\n138\n139").unwrap();
        file.seek(SeekFrom::Current(i64::try_from(line_bytes()).unwrap())).unwrap();
        file.write_all(b"\n140\n").unwrap();
        let report = worker.reports_json(6, "import numbers.csv --vdn 1 --campaign 5");
        assert_eq!((&report["imported"], &report["rejected"], &report["lastLine"]), (&json!(2), &json!(1), &json!(4)));
        assert_eq!(tables::numbers(&mut db.connect(), campaign).len(), 2);
        // The whole line can be mended.
        let rejected = std::fs::metadata(worker.dir().join("numbers.csv.rejected.csv")).unwrap();
        assert!(rejected.len() > line_bytes(), "{} bytes of rejects", rejected.len());
    }
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    let worker = Worker::without_settings();
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let many = "[[sweep]]\n".repeat(100_000);
    for (content, word) in [
        (&b"[database\nurl = 1"[..], "callsweep.toml"),
        (b"[database]\nurl = \"sqlite://\xff.db\"", "UTF-8"),
        (b"[database]\nurl = []", "url"),
        (b"[database]\nurl = \"sqlite://a.db\"\nurl = \"sqlite://b.db\"", "line 3, column 1"),
        (b"[database]\npool_size = 99999999999999999999", "pool_size"),
        (b"[database]\npool_size = -1", "pool_size"),
        (b"[worker]\ntime_zone = \"../../etc/passwd\"", "time_zone"),
        (b"[worker]\nlanes = 17", "lanes must be an integer from 1 to 16"),
        (b"[worker]\ntarget_chunk = \"1000000000000000000000y\"", "target_chunk"),
        (b"\0\0\0\0", "callsweep.toml"),
        (deep.as_bytes(), "callsweep.toml"),
        (many.as_bytes(), "sweep"),
    ] {
        worker.write("callsweep.toml", content);
        let refused = worker.refuses(2, "runs");
        says(&refused, &[word]);
    }
}
