//! `boxr store verify`: every blob is read and every record, and every layer unpacked again; what is damaged is named, and mended if asked.

use boxr_image::pull::{compare_layers, repair};
use boxr_image::store::{Finding, Item, Problem, Store};

use crate::cli::Invocation;
use crate::format::size;
use crate::images;
use crate::report::{Report, write_stdout};

/// Carries out `boxr store verify`. The status is 1 if anything is damaged afterwards.
///
/// # Errors
/// The store cannot be read at all.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = images::open_store_with_ids(&invocation.globals)?;
    let (mut read, mut findings) = (0, Vec::new());
    store.verify(|bytes| read += bytes, |finding| findings.push(finding))?;
    if is_writable(&store) {
        let changed = compare_layers(&store, &images::how(&store)?, &findings)?;
        findings.extend(changed);
    }
    let mut text: String = findings.iter().map(|finding| format!("{}\n", describe(finding))).collect();
    if findings.is_empty() {
        text.push_str(&format!("all is well: {} read\n", size::decimal(read)));
        write_stdout(&text)?;
        return Ok(0);
    }
    if !invocation.switch("repair") {
        write_stdout(&text)?;
        return Err(Report::new(format!("{} things are damaged", findings.len()))
            .suggest("boxr store verify --repair")
            .status(1));
    }
    write_stdout(&text)?;
    let (client, how) = (images::client(&invocation)?, images::how(&store)?);
    let mut failed = 0;
    for repaired in repair(&store, &client, &how, findings) {
        match repaired.outcome {
            Ok(()) => write_stdout(&format!("{}: mended\n", name(&repaired.item)))?,
            Err(error) => {
                failed += 1;
                let report = Report::from(error);
                Report { what: format!("{}: {}", name(&repaired.item), report.what), ..report }.print();
            }
        }
    }
    Ok(u8::from(failed > 0))
}

/// Whether layers can be unpacked there.
fn is_writable(store: &Store) -> bool {
    let found = rustix::fs::statvfs(store.path("staging"));
    found.is_ok_and(|found| !found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

fn name(item: &Item) -> String {
    match item {
        Item::Blob(digest) => format!("blob {digest}"),
        Item::Layer(digest) => format!("layer {digest}"),
        Item::Image(file) => format!("image record {file}"),
        Item::Name(name) => format!("name {name}"),
    }
}

fn describe(finding: &Finding) -> String {
    let problem = match &finding.problem {
        Problem::Missing => "missing".to_owned(),
        Problem::Changed(path) => format!("its file /{} is another than in the blob", path.display()),
        Problem::WrongDigest(found) => format!("damaged, its digest is {found}"),
        Problem::Unreadable(error) => error.to_string(),
        Problem::Dangling(image) => format!("stands for the image {image}, which is not here"),
    };
    format!("{}: {problem}", name(&finding.item))
}
