//! What networks need: nf_tables, forwarding, the way out of a user's, and what others' rules do to it.

use boxr_network::{ForwardRules, forward_rules, helper_name};
use rustix::fs::{Access, access};

use super::{Finding, Verdict, text};
use crate::network::resolver;

const AREA: &str = "network";

pub(super) fn probe() -> Vec<Finding> {
    let mut findings = rules();
    findings.extend([forwarding(), bridges(), names(), tun(), unprivileged_ports()]);
    findings
}

fn limited(subject: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::lacking(AREA, subject, Verdict::Limited, detail, remedy)
}

/// nf_tables, and the chains of others that may drop what boxr forwards.
fn rules() -> Vec<Finding> {
    let privileged = crate::network::is_by_kernel();
    match forward_rules() {
        Ok(_) if !privileged => {
            let detail = "there; others' rules are not shown without CAP_NET_ADMIN, and a user's networks do not meet them";
            vec![Finding::ok(AREA, "nf-tables", detail)]
        }
        Ok(ForwardRules { foreign, legacy }) => {
            let mut findings = vec![Finding::ok(AREA, "nf-tables", "there")];
            findings.extend(
                foreign
                    .into_iter()
                    .map(|(chain, remedy)| limited(&format!("forward-{}", slug(&chain)), chain, remedy)),
            );
            findings.extend(legacy.iter().map(|table| {
                let detail = format!(
                    "iptables-legacy has the table {table}, which boxr cannot read: it may drop packets"
                );
                limited(&format!("legacy-{table}"), detail, format!("iptables-legacy -t {table} -L -v -n"))
            }));
            findings
        }
        Err(error) => vec![limited(
            "nf-tables",
            format!("{error}: no bridges, and no published ports"),
            "modprobe nf_tables nft_chain_nat nft_fib_inet nft_masq",
        )],
    }
}

/// A code that stays the same for the same chain: family, table and chain.
fn slug(chain: &str) -> String {
    let words =
        chain.split([' ', ',']).filter(|word| !word.is_empty() && !matches!(*word, "table" | "chain"));
    words.take(3).collect::<Vec<_>>().join("-").to_lowercase()
}

fn forwarding() -> Finding {
    match text("/proc/sys/net/ipv4/ip_forward").as_deref() {
        Some("1") => Finding::ok(AREA, "forwarding", "net.ipv4.ip_forward is 1"),
        Some(_) if crate::network::is_by_kernel() => {
            Finding::ok(AREA, "forwarding", "net.ipv4.ip_forward is 0; boxr sets it with the first bridge")
        }
        Some(_) => Finding::ok(
            AREA,
            "forwarding",
            "net.ipv4.ip_forward is 0; a user's networks have one of their own",
        ),
        None => limited("forwarding", "the kernel has no IPv4 forwarding", "mount -t proc proc /proc"),
    }
}

fn bridges() -> Finding {
    let detail = match text("/proc/sys/net/bridge/bridge-nf-call-iptables").as_deref() {
        Some("1") => "on: rules see what neighbours on a bridge send each other, and boxr's let it through",
        Some(_) => "loaded, and off",
        None => "not loaded; not needed",
    };
    Finding::ok(AREA, "br-netfilter", detail)
}

/// Without a server containers start, but for a file that says nothing.
fn names() -> Finding {
    if resolver::host_names_a_server() {
        return Finding::ok(AREA, "names", "/etc/resolv.conf names a server");
    }
    let detail = match resolver::host_says_nothing() {
        true => "/etc/resolv.conf is empty: containers on networks do not start without --dns",
        false => "/etc/resolv.conf names no server: containers know the names of their neighbours only",
    };
    limited("names", detail, "echo nameserver ADDRESS | sudo tee /etc/resolv.conf")
}

fn tun() -> Finding {
    if access("/dev/net/tun", Access::READ_OK | Access::WRITE_OK).is_ok() {
        let detail = match helper_name() {
            Some(helper) => format!("opens, and {helper} is installed"),
            None => "opens".to_owned(),
        };
        return Finding::ok(AREA, "tun", detail);
    }
    let detail = "/dev/net/tun does not open: no network of its own for a user's container";
    limited("tun", detail, "sudo modprobe tun; sudo chmod 666 /dev/net/tun")
}

fn unprivileged_ports() -> Finding {
    let start = text("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_else(|| "1024".to_owned());
    let least = start.parse().unwrap_or(1024u32);
    if rustix::process::geteuid().is_root() || least <= 80 {
        return Finding::ok(AREA, "ports", format!("users publish ports from {least} on"));
    }
    let detail = format!("a user publishes ports from {least} on only");
    limited("ports", detail, "sudo sysctl net.ipv4.ip_unprivileged_port_start=80")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_a_code() {
        let chain = "table ip filter, chain FORWARD (hook forward, priority 0): policy drop";
        assert_eq!(slug(chain), "ip-filter-forward");
    }
}
