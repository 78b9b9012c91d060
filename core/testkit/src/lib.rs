//! Private databases, sample data, fault injection and measurements for tests and benchmarks. No release contains it.
//!
//! ```text
//! callsweep_testkit::on_each_backend! {
//!     fn a_new_database_is_empty(db) {
//!         let store = db.store();
//!         assert_eq!(numbers::count(&mut store.connection().unwrap(), campaign).unwrap(), 0);
//!     }
//! }
//! ```
//!
//! Which backends run:
//! - SQLite always.
//! - PostgreSQL and MySQL/MariaDB if `TEST_BACKENDS` lists them (`TEST_BACKENDS=sqlite,postgres,mysql`), or if
//!   `TEST_POSTGRES_URL` or `TEST_MYSQL_URL` specifies a server. Without such a URL the testkit starts a private server on
//!   a free port of 127.0.0.1, one per test process, and stops it when the process ends, even if it is killed.
//!
//! A requested backend that cannot run is a test failure. A backend that was not requested is reported once on stderr.
//! These servers run with `fsync` off: tests kill clients, not the server. A test that kills a server starts its own
//! [`Server`]. Benchmarks call [`make_durable`] first; [`big`] loads their data and [`measure`] prints their results.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test support: a panic is how a test fails"
)]

pub mod attack;
pub mod big;
pub mod clock;
mod database;
pub mod disk;
pub mod measure;
pub mod sample;
mod selection;
mod server;
pub mod tables;
mod tablespaces;

pub use callsweep_core::store::Backend;
pub use database::TestDatabase;
pub use selection::{backends, on};
pub use server::{Server, make_durable};

/// Generates one `#[test]` per backend from each function: `name::sqlite`, `name::postgres`, `name::mysql`.
///
/// The function receives its own [`TestDatabase`], migrated and without rows.
#[macro_export]
macro_rules! on_each_backend {
    ($($(#[$attribute:meta])* fn $name:ident($db:ident) $body:block)*) => {$(
        mod $name {
            #[allow(unused_imports, reason = "not every test needs what its module imports")]
            use super::*;

            $(#[$attribute])*
            fn on_this_backend($db: &$crate::TestDatabase) $body

            #[test]
            fn sqlite() {
                $crate::on($crate::Backend::Sqlite, on_this_backend);
            }

            #[test]
            #[cfg_attr(not(feature = "postgres"), ignore = "the feature `postgres` is not compiled in")]
            fn postgres() {
                $crate::on($crate::Backend::Postgres, on_this_backend);
            }

            #[test]
            #[cfg_attr(not(feature = "mysql"), ignore = "the feature `mysql` is not compiled in")]
            fn mysql() {
                $crate::on($crate::Backend::Mysql, on_this_backend);
            }
        }
    )*};
}

/// As [`on_each_backend!`], and each test a second time on tables to which a user has added columns
/// ([`tables::add_columns`]): `with_more_columns::name::sqlite` and so on. At most one use per module.
#[macro_export]
macro_rules! on_each_shape {
    ($($(#[$attribute:meta])* fn $name:ident($db:ident) $body:block)*) => {
        $crate::on_each_backend! { $($(#[$attribute])* fn $name($db) $body)* }

        mod with_more_columns {
            #[allow(unused_imports, reason = "not every test needs what its module imports")]
            use super::*;

            $crate::on_each_backend! { $($(#[$attribute])* fn $name($db) {
                $crate::tables::add_columns($db);
                $body
                $crate::tables::check_added_columns($db);
            })* }
        }
    };
}
