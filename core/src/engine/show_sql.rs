//! The statements that a run would execute, as text. It reads to choose the walk and to find the first window, as
//! [`preview`](crate::engine::preview) does, and changes nothing.

use serde::Serialize;

use crate::engine::control::Engine;
use crate::engine::error::Error;
use crate::engine::sizer::Sizer;
use crate::model::criteria::Criteria;
use crate::model::run::Target;
use crate::model::walk::Walk;
use crate::store::db::columns::Columns;
use crate::store::db::statement::Statement;
use crate::store::db::{StatementText, StoreError};
use crate::store::scan::choose;
use crate::store::scan::choose::ScanPlan;
use crate::store::scan::walker::ScanWalker;
use crate::store::scan::window::ScanScope;
use crate::store::tables::{campaigns, chunk};

/// The statements of one campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CampaignSql {
    /// Which index would lead.
    pub walk: Walk,
    /// Find the first window.
    pub first_window: Vec<StatementText>,
    /// Find the window after the first; those after it differ in the position. Empty where the walk ends with the first.
    pub next_window: Vec<StatementText>,
    /// Remove the numbers of the first window, in one transaction. Empty where no window was found. The run's row in the
    /// ledger is saved in the same transaction.
    pub chunk: Vec<StatementText>,
    /// Count the barred numbers again in that transaction, when a number has changed since the window was found.
    pub recount: Vec<StatementText>,
}

/// The statements for one campaign, with the values that they would have now.
///
/// # Errors
/// No such campaign; history cannot hold a column; or the database's.
pub fn show_sql(
    engine: &Engine,
    target: Target,
    criteria: &Criteria,
    archive_history: bool,
) -> Result<CampaignSql, Error> {
    let Engine { store, pace, .. } = engine;
    let conn = &mut *store.connection()?;
    campaigns::find(conn, target.vdn_id, target.campaign_id)?
        .ok_or(Error::NoSuchCampaign { vdn: target.vdn_id, campaign: target.campaign_id })?;
    let backend = store.backend();
    let texts = |statements: Vec<Statement>| -> Result<Vec<StatementText>, StoreError> {
        statements.iter().map(|statement| StatementText::new(statement, backend)).collect()
    };
    let ScanPlan { walk, rows_per_match, .. } = choose::choose(conn, target.campaign_id, criteria)?;
    let scope = ScanScope { campaign: target.campaign_id, criteria, walk, backend };
    let mut walker = ScanWalker::new(scope, Sizer::new(*pace, backend).size(), rows_per_match, None);
    let first_window = texts(walker.window_statements())?;
    let mut shown = CampaignSql { walk, first_window, next_window: vec![], chunk: vec![], recount: vec![] };
    let Some(window) = walker.window(conn)? else { return Ok(shown) };
    if !walker.advance(&window) {
        shown.next_window = texts(walker.window_statements())?;
    }
    let columns = if archive_history { Some(Columns::read(conn)?) } else { None };
    let archive_into = match &columns {
        Some(columns) => Some((store.ids().next_id(), columns.archived()?)),
        None => None,
    };
    let mut statements = vec![campaigns::lock_statement(backend, target.campaign_id)];
    statements.extend(chunk::statements(&scope, &window, archive_into, store.clock().timestamp()));
    shown.chunk = texts(statements)?;
    shown.recount = texts(vec![scope.count_barred_statement(&window)])?;
    Ok(shown)
}
