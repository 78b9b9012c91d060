//! Windows: the range of a scan that one chunk processes.
//!
//! A window is found without locks, so its counts may be outdated when it is removed. Which numbers are removed is decided
//! again under locks, in the chunk's transaction.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text};

use crate::model::campaign::CampaignId;
use crate::model::criteria::Criteria;
use crate::model::position::Position;
use crate::model::rules::{Barred, REMOVABLE};
use crate::model::walk::Walk;
use crate::store::db::statement::Statement;
use crate::store::db::{AnyConnection, Backend, StoreError};
use crate::store::scan::pages::Pages;
use crate::store::scan::predicate;

/// The range of a scan that one transaction processes: positions behind `after`, up to and including `upto`.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) after: Option<Position>,
    pub(crate) upto: Position,
    /// The most numbers that the chunk may remove. If more were inserted meanwhile, the chunk is rolled back.
    pub(crate) most: i64,
    /// Matching numbers that no rule barred when the window was found.
    pub(crate) removable: i64,
    /// Matching numbers that a rule barred when the window was found.
    pub(crate) barred: Barred,
    /// Whether the scan ends with this window.
    pub(crate) last: bool,
    /// The heap pages of the removable numbers, if they are close together.
    pub(crate) pages: Option<Pages>,
}

/// What a scan selects: the campaign, the criteria, and the index to scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanScope<'a> {
    pub(crate) campaign: CampaignId,
    pub(crate) criteria: &'a Criteria,
    pub(crate) walk: Walk,
    pub(crate) backend: Backend,
}

impl ScanScope<'_> {
    /// Reads the next `scan` rows of the index. Returns the window and how many rows there were.
    pub(crate) fn window(
        &self,
        conn: &mut AnyConnection,
        after: Option<&Position>,
        scan: i64,
    ) -> Result<Option<(Window, i64)>, StoreError> {
        let found: Vec<ScannedStatus> = self.count_matches(after, scan).load(conn)?;
        let Some(last_id) = found.iter().map(|status| status.last_id).max() else { return Ok(None) };
        let upto = if let Some(find_end) = self.find_end(after, scan) {
            let last: Vec<LastByTime> = find_end.load(conn)?;
            let Some(last) = last.into_iter().next() else { return Ok(None) };
            Position::RecycleTime(last.text, last.id)
        } else {
            Position::Id(last_id)
        };
        let scanned = found.iter().map(|status| status.scanned).sum();
        let mut window = Window {
            after: after.cloned(),
            upto,
            most: 0,
            removable: 0,
            barred: Barred::default(),
            last: false,
            pages: None,
        };
        for status in &found {
            if status.status == REMOVABLE as i16 {
                window.removable += status.numbers;
                window.pages = Pages::of(status.first_page, status.last_page, scanned);
            } else {
                window.barred.add(status.status, status.numbers);
            }
        }
        Ok(Some((window, scanned)))
    }

    /// The statements that find a window.
    pub(crate) fn window_statements(&self, after: Option<&Position>, scan: i64) -> Vec<Statement> {
        std::iter::once(self.count_matches(after, scan)).chain(self.find_end(after, scan)).collect()
    }

    /// Counts what matches among the next `scan` rows, by status.
    fn count_matches(&self, after: Option<&Position>, scan: i64) -> Statement {
        let (place, pages) = Pages::sql(self.backend);
        let head = Statement::new("/* window::scan */ SELECT status, count(matched) AS numbers, count(*) AS scanned");
        let head = head.sql(", max(id) AS last_id").sql(pages).sql(" FROM (SELECT id, status, CASE WHEN 1 = 1");
        let statement = predicate::criteria(head, self.criteria, self.backend).sql(" THEN ").sql(place);
        self.scan(statement.sql(" END AS matched"), after, scan).sql(") scanned GROUP BY status")
    }

    /// Finds the last of the next `scan` rows, where the largest id does not say which it is.
    fn find_end(&self, after: Option<&Position>, scan: i64) -> Option<Statement> {
        if self.walk != Walk::RecycleTime {
            return None;
        }
        let head = Statement::new("/* window::upto */ SELECT ").sql(time_as_text(self.backend));
        let head = head.sql(" AS text, id FROM (SELECT recycle_time, id");
        Some(self.scan(head, after, scan).sql(") scanned ORDER BY recycle_time DESC, id DESC LIMIT 1"))
    }

    /// Appends ` FROM call_data …`, which selects the next `scan` rows of the index.
    fn scan(&self, statement: Statement, after: Option<&Position>, scan: i64) -> Statement {
        let statement = statement.sql(" FROM call_data WHERE campaign_id = ").big_int(self.campaign.get());
        let statement = self.beyond(predicate::leading(statement, self.criteria, self.walk, self.backend), after);
        let order = if self.walk == Walk::RecycleTime { " ORDER BY recycle_time, id" } else { " ORDER BY id" };
        statement.sql(order).sql(" LIMIT ").big_int(scan)
    }

    /// Whether windows of this scan can be removed concurrently. SQLite allows one writer. In a scan of the recycle_time
    /// index, InnoDB's next-key locks cover the index record behind the range, which belongs to the next window.
    pub(crate) fn can_be_shared(&self) -> bool {
        match self.backend {
            Backend::Sqlite => false,
            Backend::Postgres => true,
            Backend::Mysql => self.walk == Walk::PrimaryKey,
        }
    }

    /// The parts of a window that a chunk removes one after the other.
    ///
    /// PostgreSQL: first the numbers in the pages of the window. If they are fewer than when the window was found, the rest
    /// through the index.
    ///
    /// InnoDB: a statement with `id <= …` also locks the next row, the first one of the next window, so two lanes would
    /// deadlock. With `id < …` the next row is in this window, and `id = …` locks no other row.
    pub(crate) fn parts(&self, window: &Window) -> &'static [WindowPart] {
        match (self.backend, self.walk) {
            (Backend::Mysql, Walk::PrimaryKey) => &[WindowPart::BeforeLast, WindowPart::Last],
            (_, Walk::PrimaryKey) if window.pages.is_some() => &[WindowPart::Pages, WindowPart::Whole],
            _ => &[WindowPart::Whole],
        }
    }

    /// Counts the numbers of a window that a rule bars now.
    pub(crate) fn count_barred(&self, conn: &mut AnyConnection, window: &Window) -> Result<Barred, StoreError> {
        let found: Vec<ByStatus> = self.count_barred_statement(window).load(conn)?;
        let mut barred = Barred::default();
        for status in found {
            barred.add(status.status, status.numbers);
        }
        Ok(barred)
    }

    /// The statement of [`ScanScope::count_barred`].
    pub(crate) fn count_barred_statement(&self, window: &Window) -> Statement {
        let head = "/* window::count_barred */ SELECT status, count(*) AS numbers FROM call_data WHERE ";
        let barred = self.restrict(Statement::new(head), window).sql(" AND status <> ").small_int(REMOVABLE as i16);
        barred.sql(" GROUP BY status")
    }

    /// Some removable numbers of a window, for a preview.
    pub(crate) fn sample(
        &self,
        conn: &mut AnyConnection,
        window: &Window,
        numbers: i64,
    ) -> Result<Vec<Sample>, StoreError> {
        let shown = match self.backend {
            Backend::Sqlite => {
                "CASE WHEN typeof(recycle_time) IN ('text', 'null') THEN recycle_time ELSE quote(recycle_time) END"
            }
            Backend::Postgres => "CAST(recycle_time AS TEXT)",
            Backend::Mysql => "CAST(recycle_time AS CHAR)",
        };
        let head = Statement::new("/* window::sample */ SELECT called, status, ").sql(shown);
        let may_go = self
            .restrict(head.sql(" AS recycle_time FROM call_data WHERE "), window)
            .sql(" AND status = ")
            .small_int(REMOVABLE as i16);
        Ok(may_go.sql(" LIMIT ").big_int(numbers).load(conn)?)
    }

    /// The oldest recycle time of a window's numbers that no rule bars.
    pub(crate) fn oldest(
        &self,
        conn: &mut AnyConnection,
        window: &Window,
    ) -> Result<Option<NaiveDateTime>, StoreError> {
        let head = Statement::new("/* window::oldest */ SELECT ").sql(time_as_text(self.backend));
        let head = head.sql(" AS oldest FROM (SELECT min(recycle_time) AS recycle_time FROM call_data WHERE ");
        let statement = self.restrict(head, window).sql(" AND status = ").small_int(REMOVABLE as i16);
        let found: Vec<Oldest> = statement.sql(") removable").load(conn)?;
        // A value that is not a time is ignored.
        let oldest = found.first().and_then(|row| row.oldest.as_deref());
        Ok(oldest.and_then(|text| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()))
    }

    /// Appends `campaign_id = … AND` the window `AND` the criteria: the numbers of a chunk.
    ///
    /// In a scan of the primary key, `(…) IS TRUE` hides the criteria from the planner, because no index supports it.
    /// Otherwise the planner would prefer the recycle_time index for a small window. It would then read the whole range of
    /// the filter in every chunk, and wait for rows that other chunks have locked.
    pub(crate) fn restrict(&self, statement: Statement, window: &Window) -> Statement {
        self.restrict_to(statement, window, WindowPart::Whole)
    }

    /// As [`ScanScope::restrict`], for a part of the window.
    pub(crate) fn restrict_to(&self, statement: Statement, window: &Window, part: WindowPart) -> Statement {
        let statement = statement.sql("campaign_id = ").big_int(self.campaign.get());
        let statement = self.beyond(statement, window.after.as_ref());
        let statement = match (&window.upto, part) {
            (Position::Id(id), WindowPart::Whole | WindowPart::Pages) => statement.sql(" AND id <= ").big_int(*id),
            (Position::Id(id), WindowPart::BeforeLast) => statement.sql(" AND id < ").big_int(*id),
            (Position::Id(id), WindowPart::Last) => statement.sql(" AND id = ").big_int(*id),
            (Position::RecycleTime(time, id), _) => self.compare_pair(statement, PairOrder::UpTo, time, *id),
        };
        let statement = match (part, window.pages) {
            (WindowPart::Pages, Some(pages)) => pages.restrict(statement),
            _ => statement,
        };
        if self.walk == Walk::PrimaryKey {
            let statement = statement.sql(" AND (1 = 1");
            return predicate::criteria(statement, self.criteria, self.backend).sql(") IS TRUE");
        }
        predicate::criteria(statement, self.criteria, self.backend)
    }

    fn beyond(&self, statement: Statement, after: Option<&Position>) -> Statement {
        match after {
            None => statement,
            Some(Position::Id(id)) => statement.sql(" AND id > ").big_int(*id),
            Some(Position::RecycleTime(time, id)) => self.compare_pair(statement, PairOrder::Beyond, time, *id),
        }
    }

    /// Compares (recycle_time, id) with a position, in the form for which the backend reads only the matching index range:
    /// PostgreSQL and SQLite need a row comparison, MariaDB needs it spelled out with AND and OR.
    fn compare_pair(&self, statement: Statement, order: PairOrder, time: &str, id: i64) -> Statement {
        let (row, apart, tied) = match order {
            PairOrder::Beyond => (" AND (recycle_time, id) > (", " AND (recycle_time > ", " AND id > "),
            PairOrder::UpTo => (" AND (recycle_time, id) <= (", " AND (recycle_time < ", " AND id <= "),
        };
        match self.backend {
            Backend::Sqlite | Backend::Postgres => {
                statement.sql(row).wall_clock_text(time, self.backend).sql(", ").big_int(id).sql(")")
            }
            Backend::Mysql => statement
                .sql(apart)
                .wall_clock_text(time, self.backend)
                .sql(" OR (recycle_time = ")
                .wall_clock_text(time, self.backend)
                .sql(tied)
                .big_int(id)
                .sql("))"),
        }
    }
}

/// SQL for a recycle time as a text that sorts like the time. On SQLite the stored text itself: other programs write
/// formats that Diesel cannot parse, and a converted text would not find the row again.
fn time_as_text(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => "recycle_time",
        Backend::Postgres => "to_char(recycle_time, 'YYYY-MM-DD HH24:MI:SS.US')",
        Backend::Mysql => "CAST(recycle_time AS CHAR)",
    }
}

/// A part of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WindowPart {
    Whole,
    /// The numbers in the window's pages.
    Pages,
    /// All but the last id.
    BeforeLast,
    /// The last id.
    Last,
}

#[derive(Clone, Copy)]
enum PairOrder {
    Beyond,
    UpTo,
}

#[derive(QueryableByName)]
struct LastByTime {
    #[diesel(sql_type = Text)]
    text: String,
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct Oldest {
    #[diesel(sql_type = Nullable<Text>)]
    oldest: Option<String>,
}

#[derive(QueryableByName)]
struct ScannedStatus {
    #[diesel(sql_type = SmallInt)]
    status: i16,
    #[diesel(sql_type = BigInt)]
    numbers: i64,
    #[diesel(sql_type = BigInt)]
    scanned: i64,
    #[diesel(sql_type = BigInt)]
    last_id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    first_page: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_page: Option<i64>,
}

#[derive(QueryableByName)]
struct ByStatus {
    #[diesel(sql_type = SmallInt)]
    status: i16,
    #[diesel(sql_type = BigInt)]
    numbers: i64,
}

/// A number of a preview.
#[derive(QueryableByName)]
pub(crate) struct Sample {
    #[diesel(sql_type = Text)]
    pub(crate) called: String,
    #[diesel(sql_type = SmallInt)]
    pub(crate) status: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) recycle_time: Option<String>,
}
