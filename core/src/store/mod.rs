//! The store: everything that executes SQL. Each module imports only those before it: `db`, `ledger` and `scan`, `tables`,
//! `upkeep`.

pub(crate) mod db;
pub(crate) mod ledger;
pub(crate) mod scan;
pub(crate) mod tables;
pub(crate) mod upkeep;

pub use db::{
    AnyConnection, Backend, DatabaseSettings, PoolUse, PooledConnection, Retries, StatementText, Store, StoreError,
    Transient, columns, migrations, schema, storage,
};
pub use ledger::{controls, policies, runs};
pub use tables::{campaigns, numbers};
pub use upkeep::{inspect, load, space, text};
