//! `import`: numbers from a CSV file into a campaign.

mod columns;
mod records;
mod rejects;
mod report;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Instant;

use callsweep_core::campaign::{Campaign, CampaignId, CampaignStatus, VdnId};
use callsweep_core::number::NewNumber;
use callsweep_core::settings::Settings;
use callsweep_core::store::{AnyConnection, Store, campaigns, numbers};
use indicatif::ProgressBar;

use crate::cli::ImportArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format};
use crate::stop::Stop;
use crate::{database, progress};

use columns::Columns;
use records::Records;
use rejects::Rejects;
use report::{ImportReport, ImportState};

/// Numbers of one transaction. Each commit writes every page of the indexes that it touched, nearly all of them: larger
/// transactions write less in all, and other writers wait half a second.
const CHUNK: usize = 10_000;
/// Records between two looks at the signals, where no number comes: a file may be nothing but rejected lines.
const LOOK_EVERY: u64 = 10_000;

/// Runs the command.
pub(crate) fn run(args: ImportArgs, settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let cannot_read = |error| Failure::usage(format_args!("{} cannot be read: {error}", args.file.display()));
    let file = File::open(&args.file).map_err(cannot_read)?;
    let size = file.metadata().map_err(cannot_read)?;
    if size.is_dir() {
        return Err(Failure::usage(format_args!("{} is a directory. Name a CSV file", args.file.display())));
    }
    let bar = progress::bytes(size.is_file().then_some(size.len()));
    let rejects = Rejects::new(&args.file, args.rejects)?;
    let mut reader = BufReader::new(bar.wrap_read(file));
    if let Some(format) = other_format(reader.fill_buf().map_err(cannot_read)?) {
        return Err(Failure::usage(format_args!("{} is {format}", args.file.display())));
    }
    let mut records = Records::new(reader);
    let columns = read_header(&mut records, &args.file)?;

    let store = database::open(settings)?;
    let mut conn = store.connection()?;
    let (campaign, created) = match args.create_campaign {
        Some(name) => (create_campaign(&mut conn, &store, args.vdn, name)?, true),
        None => (find_campaign(&mut conn, args.vdn, args.campaign)?, false),
    };
    let started = Instant::now();
    drop(conn);
    let mut import = Import { store, campaign: campaign.id, columns, rejects, imported: 0, last_line: 1, bar };
    let outcome = import.all(&mut records, stop);
    import.bar.finish_and_clear();

    let state = match &outcome {
        Ok(state) => *state,
        Err(_) => ImportState::Failed,
    };
    let report = ImportReport {
        vdn_id: args.vdn,
        campaign_id: campaign.id,
        campaign_name: campaign.name,
        campaign_created: created,
        state,
        imported: import.imported,
        rejected: import.rejects.count(),
        rejects_file: import.rejects.path().map(Path::to_owned),
        last_line: import.last_line,
        seconds: started.elapsed().as_secs_f64(),
    };
    output::print(format, &report)?;
    outcome?;
    Ok(report.exit())
}

/// What a file is that begins so, where it is no text in UTF-8 and people take it for one.
fn other_format(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("compressed. Unpack it first"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=255, 0, 1..=255, 0, ..] | [0, 1..=255, 0, 1..=255, ..] => {
            Some("in UTF-16. Save it in UTF-8")
        }
        _ => None,
    }
}

fn read_header<R: std::io::BufRead>(records: &mut Records<R>, file: &Path) -> Result<Columns, Failure> {
    let wrong = |reason: &str| Failure::usage(format_args!("{}: {reason}", file.display()));
    match records.next() {
        Ok(Some(header)) => {
            header.fields.map_err(wrong).and_then(|fields| Columns::read(&fields).map_err(|e| wrong(&e)))
        }
        Ok(None) => Err(wrong("the file is empty. Its first line has to name the columns")),
        Err(error) => Err(wrong(&format!("cannot be read: {error}"))),
    }
}

fn create_campaign(conn: &mut AnyConnection, store: &Store, vdn: VdnId, name: String) -> Result<Campaign, Failure> {
    if let Some(found) = campaigns::find_by_name(conn, vdn, &name)? {
        return Err(Failure::usage(format_args!(
            "--create-campaign: VDN {vdn} has a campaign {name:?} already. To add numbers to it, give --campaign {}",
            found.id
        )));
    }
    let id = CampaignId::try_from(store.ids().next_id()).map_err(Failure::failed)?;
    let campaign = Campaign { id, vdn_id: vdn, name, status: CampaignStatus::Draft };
    campaigns::create(conn, &campaign, store.clock().timestamp())?;
    Ok(campaign)
}

fn find_campaign(conn: &mut AnyConnection, vdn: VdnId, id: Option<CampaignId>) -> Result<Campaign, Failure> {
    let id = id.ok_or_else(|| Failure::usage("give --campaign ID or --create-campaign NAME"))?;
    match campaigns::find(conn, vdn, id)? {
        Some(campaign) => Ok(campaign),
        None => Err(database::no_such_campaign(conn, vdn, id)?),
    }
}

/// An import under way.
struct Import {
    store: Store,
    campaign: CampaignId,
    columns: Columns,
    rejects: Rejects,
    /// Numbers that are committed.
    imported: u64,
    /// Every line up to this one is committed or in the rejects.
    last_line: u64,
    bar: ProgressBar,
}

impl Import {
    fn all<R: std::io::BufRead>(&mut self, records: &mut Records<R>, stop: &Stop) -> Result<ImportState, Failure> {
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut last_line = self.last_line;
        let mut until_look = LOOK_EVERY;
        loop {
            let record = records.next();
            let record =
                record.map_err(|error| Failure::failed(format_args!("the file cannot be read on: {error}")))?;
            let Some(record) = record else { break };
            let number = match &record.fields {
                Ok(fields) => self.columns.number(fields, self.store.ids().next_id()),
                Err(reason) => Err((*reason).to_owned()),
            };
            match number {
                Ok(number) => chunk.push(number),
                Err(reason) => self.rejects.add(record.line, &reason, record.original)?,
            }
            last_line = record.last_line();
            until_look -= 1;
            if chunk.len() == CHUNK || until_look == 0 {
                until_look = LOOK_EVERY;
                self.commit(&mut chunk, last_line)?;
                if stop.requested() {
                    return Ok(ImportState::Stopped);
                }
            }
        }
        self.commit(&mut chunk, last_line)?;
        Ok(ImportState::Succeeded)
    }

    fn commit(&mut self, chunk: &mut Vec<NewNumber>, last_line: u64) -> Result<(), Failure> {
        self.rejects.flush()?;
        if !chunk.is_empty() {
            numbers::import(&self.store, self.campaign, chunk)?;
        }
        self.imported += chunk.len() as u64;
        self.last_line = last_line;
        chunk.clear();
        let (imported, rejected) = (output::grouped(self.imported), output::grouped(self.rejects.count()));
        self.bar.set_message(format!("{imported} imported, {rejected} rejected"));
        Ok(())
    }
}
