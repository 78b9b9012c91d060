//! `import`: numbers from a CSV file into a campaign.

mod columns;
mod input;
mod records;
mod rejects;
mod report;

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::{Duration, Instant};

use callsweep_core::campaign::{Campaign, CampaignId, CampaignStatus, VdnId};
use callsweep_core::number::NewNumber;
use callsweep_core::settings::Settings;
use callsweep_core::store::{AnyConnection, Store, campaigns, numbers};
use indicatif::ProgressBar;

use crate::cli::ImportArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format};
use crate::cli::progress;
use crate::process::database;
use crate::process::stop::Stop;

use columns::Columns;
use input::Input;
use records::{Records, without_fields};
use rejects::Rejects;
use report::{ImportReport, ImportState};

/// Numbers of one transaction. Each commit writes every page of the indexes that it touched, nearly all of them: larger
/// transactions write less in all, and other writers wait half a second.
const CHUNK: usize = 10_000;
/// Records between two looks at the signals, where no number comes: a file may be nothing but rejected lines.
const LOOK_EVERY: u64 = 10_000;

/// Runs the command.
pub(crate) fn run(args: ImportArgs, settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let Input { name, size, rejects, reader } = Input::open(&args.file, args.rejects)?;
    let wrong = |reason: String| Failure::usage(format_args!("{name}: {reason}"));
    let cannot_read = |error: io::Error| Failure::usage(format_args!("{name} cannot be read: {error}"));
    let bar = progress::bytes(size);
    let mut reader = BufReader::new(bar.wrap_read(reader));
    if let Some(format) = other_format(reader.fill_buf().map_err(cannot_read)?) {
        return Err(Failure::usage(format_args!("{name} is {format}")));
    }
    let mut records = Records::new(reader).map_err(cannot_read)?;
    let delimiter = columns::delimiter_of(records.peek_line().map_err(cannot_read)?);
    records.set_delimiter(delimiter);
    let header = records.next().map_err(cannot_read)?;
    let header = header.ok_or_else(|| wrong("the file is empty. Its first line has to name the columns".to_owned()))?;
    let fields = header.fields.as_ref().map_err(|malformed| wrong(format!("the header: {malformed}")))?;
    let columns = Columns::read(fields).map_err(wrong)?;
    let own_header = without_fields(header.original, columns.rejects_prefix(), delimiter).unwrap_or(header.original);
    let rejects = Rejects::new(rejects, own_header, delimiter)?;
    let last_line = header.last_line();

    let store = database::open(settings)?;
    let campaign = {
        let mut conn = store.connection()?;
        match args.create_campaign {
            Some(name) => new_campaign(&mut conn, &store, args.vdn, name)?,
            None => Destination::Existing(find_campaign(&mut conn, args.vdn, args.campaign)?),
        }
    };
    let started = Instant::now();
    let mut import = Import { store, campaign, columns, rejects, imported: 0, last_line, bar };
    let outcome = import.all(&mut records, stop);
    import.bar.finish_and_clear();

    let state = outcome.as_ref().map_or(ImportState::Failed, |state| *state);
    let report = import.report(state, started.elapsed());
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

/// The campaign of `--create-campaign`. It is created with the first numbers: an import that fails before leaves none.
fn new_campaign(conn: &mut AnyConnection, store: &Store, vdn: VdnId, name: String) -> Result<Destination, Failure> {
    if let Some(found) = campaigns::find_by_name(conn, vdn, &name)? {
        return Err(Failure::usage(format_args!(
            "--create-campaign: VDN {vdn} has a campaign {name:?} already. To add numbers to it, give --campaign {}",
            found.id
        )));
    }
    let id = CampaignId::try_from(store.ids().next_id()).map_err(Failure::failed)?;
    Ok(Destination::New(Campaign { id, vdn_id: vdn, name, status: CampaignStatus::Draft }))
}

fn find_campaign(conn: &mut AnyConnection, vdn: VdnId, id: Option<CampaignId>) -> Result<Campaign, Failure> {
    let id = id.ok_or_else(|| Failure::usage("give --campaign ID or --create-campaign NAME"))?;
    match campaigns::find(conn, vdn, id)? {
        Some(campaign) => Ok(campaign),
        None => Err(database::no_such_campaign(conn, vdn, id)?),
    }
}

/// Where numbers go.
enum Destination {
    /// A campaign that was there before.
    Existing(Campaign),
    /// One that is created with the first numbers.
    New(Campaign),
    /// One that this import has created.
    Created(Campaign),
}

impl Destination {
    fn campaign(&self) -> &Campaign {
        match self {
            Self::Existing(campaign) | Self::New(campaign) | Self::Created(campaign) => campaign,
        }
    }
}

/// An import under way.
struct Import {
    store: Store,
    campaign: Destination,
    columns: Columns,
    rejects: Rejects,
    /// Numbers that are committed.
    imported: u64,
    /// Every line up to this one is committed or in the rejects.
    last_line: u64,
    bar: ProgressBar,
}

impl Import {
    fn all<R: BufRead>(&mut self, records: &mut Records<R>, stop: &Stop) -> Result<ImportState, Failure> {
        let cannot_read = |error| Failure::failed(format_args!("the file cannot be read on: {error}"));
        let (prefix, delimiter) = (self.columns.rejects_prefix(), records.delimiter());
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut last_line = self.last_line;
        let mut until_look = LOOK_EVERY;
        while let Some(record) = records.next().map_err(cannot_read)? {
            last_line = record.last_line();
            let number = match &record.fields {
                Ok(fields) if fields.are_empty() => None,
                Ok(fields) => Some(self.columns.number(fields, self.store.ids().next_id())),
                Err(malformed) => Some(Err(malformed.to_string())),
            };
            match number {
                Some(Ok(number)) => chunk.push(number),
                Some(Err(reason)) => {
                    let original = without_fields(record.original, prefix, delimiter).unwrap_or(record.original);
                    self.rejects.begin(record.line, &reason, original)?;
                    while let Some(part) = records.rest_of_line().map_err(cannot_read)? {
                        self.rejects.write(part)?;
                    }
                    self.rejects.end()?;
                }
                None => {}
            }
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
            match &self.campaign {
                Destination::New(campaign) => {
                    numbers::import_into_new(&self.store, campaign, chunk)?;
                    self.campaign = Destination::Created(campaign.clone());
                }
                Destination::Existing(campaign) | Destination::Created(campaign) => {
                    numbers::import(&self.store, campaign.id, chunk)?;
                }
            }
        }
        self.imported += chunk.len() as u64;
        self.last_line = last_line;
        chunk.clear();
        let (imported, rejected) = (output::grouped(self.imported), output::grouped(self.rejects.count()));
        self.bar.set_message(format!("{imported} imported, {rejected} rejected"));
        Ok(())
    }

    fn report(&self, state: ImportState, took: Duration) -> ImportReport {
        let campaign = self.campaign.campaign();
        ImportReport {
            vdn_id: campaign.vdn_id,
            campaign_id: (!matches!(self.campaign, Destination::New(_))).then_some(campaign.id),
            campaign_name: campaign.name.clone(),
            campaign_created: matches!(self.campaign, Destination::Created(_)),
            state,
            imported: self.imported,
            rejected: self.rejects.count(),
            rejects_file: self.rejects.path().map(Path::to_owned),
            last_line: self.last_line,
            seconds: took.as_secs_f64(),
        }
    }
}
