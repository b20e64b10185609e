//! `boxr doctor`

use boxr_engine::doctor::{AREAS, Finding, Verdict, probe};

use crate::cli::Invocation;
use crate::format::table::align;
use crate::report::{Report, colour_wanted, write_stdout};

/// Says what this host can do. Status 1 when something is missing that a plain `boxr run` needs.
///
/// # Errors
/// An area that does not exist.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let area = invocation.positionals().first().map(String::as_str);
    if let Some(area) = area.filter(|area| !AREAS.contains(area)) {
        return Err(Report::new(format!("boxr doctor: no area {area}: there are {}", AREAS.join(", "))));
    }
    let areas = AREAS.into_iter().filter(|known| area.is_none_or(|area| area == *known));
    let findings: Vec<Finding> = areas.flat_map(probe).collect();
    let text = match invocation.switch("json") {
        true => json(&findings)?,
        false => lines(&findings, colour_wanted(&std::io::stdout())),
    };
    write_stdout(&text)?;
    Ok(u8::from(findings.iter().any(|finding| finding.verdict == Verdict::Missing)))
}

/// A line per finding, and one for what to type.
fn lines(findings: &[Finding], colour: bool) -> String {
    let cells = |finding: &Finding| {
        let verdict = finding.verdict.word();
        format!("{verdict}\t{}\t{}\n", finding.code(), finding.detail.replace(['\t', '\n'], " "))
    };
    let aligned = align(&findings.iter().map(cells).collect::<String>());
    let mut text = String::with_capacity(aligned.len() * 2);
    for (line, finding) in aligned.lines().zip(findings) {
        let paint = match (colour, finding.verdict) {
            (false, _) => ("", ""),
            (true, Verdict::Ok) => ("\x1b[32m", "\x1b[0m"),
            (true, Verdict::Limited) => ("\x1b[33m", "\x1b[0m"),
            (true, Verdict::Missing) => ("\x1b[1;31m", "\x1b[0m"),
        };
        let (verdict, rest) = line.split_at(finding.verdict.word().len());
        text.push_str(&format!("{}{verdict}{}{rest}\n", paint.0, paint.1));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("          try: {remedy}\n"));
        }
    }
    text
}

fn json(findings: &[Finding]) -> Result<String, Report> {
    let list = findings.iter().map(|finding| {
        serde_json::json!({
            "code": finding.code(),
            "area": finding.area,
            "subject": finding.subject,
            "verdict": finding.verdict.word(),
            "detail": finding.detail,
            "remedy": finding.remedy,
        })
    });
    let text = serde_json::to_string_pretty(&list.collect::<Vec<_>>());
    text.map(|text| text + "\n").map_err(|error| Report::new(format!("cannot write JSON: {error}")))
}
