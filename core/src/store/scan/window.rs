//! Windows: where one chunk of a walk ends and the next begins.
//!
//! A window is found without locks and may be stale by the time it is removed; what is removed is decided again,
//! under lock, in the chunk's transaction.

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

/// A stretch of a walk that one transaction deals with.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) after: Option<Position>,
    pub(crate) upto: Position,
    /// How many numbers may go in it. More, if others came meanwhile, are left to another window.
    pub(crate) most: i64,
    /// How many of the numbers that matched when it was found no rule barred.
    pub(crate) removable: i64,
    /// How many of the numbers that matched when it was found a rule barred.
    pub(crate) barred: Barred,
    /// Whether the walk ends here.
    pub(crate) last: bool,
    /// Where those lie that may go, if they lie close together.
    pub(crate) pages: Option<Pages>,
}

/// What is meant in which campaign, by which walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScanScope<'a> {
    pub(crate) campaign: CampaignId,
    pub(crate) criteria: &'a Criteria,
    pub(crate) walk: Walk,
    pub(crate) backend: Backend,
}

impl ScanScope<'_> {
    /// The next `scan` rows of the leading index, and how many there are.
    pub(crate) fn window(
        &self,
        conn: &mut AnyConnection,
        after: Option<&Position>,
        scan: i64,
    ) -> Result<Option<(Window, i64)>, StoreError> {
        let (place, pages) = Pages::sql(self.backend);
        let head = Statement::new("/* window::scan */ SELECT status, count(matched) AS numbers, count(*) AS scanned");
        let head = head.sql(", max(id) AS last_id").sql(pages).sql(" FROM (SELECT id, status, CASE WHEN 1 = 1");
        let statement = predicate::criteria(head, self.criteria, self.backend).sql(" THEN ").sql(place);
        let statement = statement.sql(" END AS matched");
        let found: Vec<ScannedStatus> =
            self.scan(statement, after, scan).sql(") scanned GROUP BY status").load(conn)?;
        let Some(last_id) = found.iter().map(|status| status.last_id).max() else { return Ok(None) };
        let upto = if self.walk == Walk::RecycleTime {
            let head = "/* window::upto */ SELECT ";
            let head =
                Statement::new(head).sql(time_as_text(self.backend)).sql(" AS text, id FROM (SELECT recycle_time, id");
            let tail = ") scanned ORDER BY recycle_time DESC, id DESC LIMIT 1";
            let last: Vec<LastByTime> = self.scan(head, after, scan).sql(tail).load(conn)?;
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

    /// ` FROM call_data` the next `scan` rows of the leading index.
    fn scan(&self, statement: Statement, after: Option<&Position>, scan: i64) -> Statement {
        let statement = statement.sql(" FROM call_data WHERE campaign_id = ").big_int(self.campaign.get());
        let statement = self.beyond(predicate::leading(statement, self.criteria, self.walk, self.backend), after);
        let order = if self.walk == Walk::RecycleTime { " ORDER BY recycle_time, id" } else { " ORDER BY id" };
        statement.sql(order).sql(" LIMIT ").big_int(scan)
    }

    /// Whether windows of this walk can be removed side by side. SQLite has one writer. InnoDB locks what lies behind a
    /// stretch of the recycle_time index, which is the next window's.
    pub(crate) fn can_be_shared(&self) -> bool {
        match self.backend {
            Backend::Sqlite => false,
            Backend::Postgres => true,
            Backend::Mysql => self.walk == Walk::PrimaryKey,
        }
    }

    /// The stretches that a chunk takes one after the other.
    ///
    /// On PostgreSQL first what lies in the pages of the window, and then, if that is not what there was when the window was
    /// found, the rest.
    ///
    /// InnoDB locks the row behind `id <= …` too, and that is the first one of the next window: two lanes would wait for each
    /// other. Behind `id < …` lies a row of this window, and behind `id = …` none is looked at.
    pub(crate) fn parts(&self, window: &Window) -> &'static [WindowPart] {
        match (self.backend, self.walk) {
            (Backend::Mysql, Walk::PrimaryKey) => &[WindowPart::BeforeLast, WindowPart::Last],
            (_, Walk::PrimaryKey) if window.pages.is_some() => &[WindowPart::Pages, WindowPart::Whole],
            _ => &[WindowPart::Whole],
        }
    }

    /// The numbers of a window that stay because a rule bars them, counted as they are now.
    pub(crate) fn count_barred(&self, conn: &mut AnyConnection, window: &Window) -> Result<Barred, StoreError> {
        let head = "/* window::count_barred */ SELECT status, count(*) AS numbers FROM call_data WHERE ";
        let found: Vec<ByStatus> = self
            .restrict(Statement::new(head), window)
            .sql(" AND status <> ")
            .small_int(REMOVABLE as i16)
            .sql(" GROUP BY status")
            .load(conn)?;
        let mut barred = Barred::default();
        for status in found {
            barred.add(status.status, status.numbers);
        }
        Ok(barred)
    }

    /// Some of those numbers of a window that may go, to show.
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
        // What is no time cannot be old.
        let oldest = found.first().and_then(|row| row.oldest.as_deref());
        Ok(oldest.and_then(|text| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()))
    }

    /// `campaign_id = … AND` the window `AND` the criteria: which numbers a chunk is about.
    ///
    /// Where the primary key leads, the criteria are hidden from the planner by `IS TRUE`, which no index serves: for a
    /// small window it would prefer the index of recycle times, read all of the filter's range in every chunk, and meet
    /// the rows of other chunks there.
    pub(crate) fn restrict(&self, statement: Statement, window: &Window) -> Statement {
        self.restrict_to(statement, window, WindowPart::Whole)
    }

    /// As [`ScanScope::restrict`], to a part of the window.
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

    /// Compares (recycle_time, id) with a place, in the form whose whole index range the backend uses: PostgreSQL
    /// and SQLite want row values, MariaDB wants them written out.
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

/// A recycle time of the calendar in a text that compares as the time does. Other programs write texts to SQLite that
/// Diesel cannot read, and some that another text would stand for.
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
    /// What of it lies in its pages.
    Pages,
    /// Without its last id.
    BeforeLast,
    /// Its last id.
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

/// A number to show in a preview.
#[derive(QueryableByName)]
pub(crate) struct Sample {
    #[diesel(sql_type = Text)]
    pub(crate) called: String,
    #[diesel(sql_type = SmallInt)]
    pub(crate) status: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) recycle_time: Option<String>,
}
