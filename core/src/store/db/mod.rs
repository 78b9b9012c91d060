//! Connections, transactions, retries and the schema: the basis of every statement.

mod any_connection;
mod backend;
pub(crate) mod catalogue;
pub mod columns;
mod connection;
mod database_url;
mod difference;
mod error;
pub mod migrations;
mod pool;
mod pooler;
pub(crate) mod retry;
pub mod schema;
mod settings;
pub(crate) mod statement;
mod statement_text;
mod statements;
pub mod storage;
pub(crate) mod transaction;
mod unsafe_table;
pub(crate) mod wall_clock;

pub use any_connection::AnyConnection;
pub use backend::Backend;
pub use error::{StoreError, Transient};
pub use pool::{PoolUse, PooledConnection, Store};
pub use retry::Retries;
pub use settings::DatabaseSettings;
pub use statement_text::StatementText;

pub(crate) use transaction::{commit_once, write_once, write_transaction};
