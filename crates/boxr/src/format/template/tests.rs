use proptest::prelude::*;
use serde_json::json;

use super::*;

fn data() -> Value {
    json!({
        "Id": "0123456789ab",
        "Name": "web",
        "State": { "Pid": 42, "Running": true, "Load": 0.5, "Error": "", "Health": null },
        "Args": ["sh", "-c", "echo hi"],
        "Labels": { "com.x": "1", "tier": "front" },
        "Empty": [],
    })
}

fn render(template: &str) -> Result<String, TemplateError> {
    let data = data();
    let mut out = String::new();
    Template::parse(template)?.render(&data, &mut out).map(|()| out)
}

fn shown(template: &str) -> String {
    render(template).unwrap_or_else(|error| panic!("{template}: {error}"))
}

#[test]
fn fields_and_text() {
    for (template, expected) in [
        ("{{.Name}}", "web"),
        ("{{ .State.Pid }} {{.State.Running}} {{.State.Load}}", "42 true 0.5"),
        ("a\\tb\\n{{.Name}}\t.", "a\tb\nweb\t."),
        ("{{.Args}}", "[sh -c echo hi]"),
        ("{{.Labels}}", "map[com.x:1 tier:front]"),
        ("{{.Labels.tier}} {{.Labels.none}}", "front <no value>"),
        ("{{.State.Health}}", "<nil>"),
        ("{{(index .Args 0)}}{{$.Name}}", "shweb"),
        ("}} {", "}} {"),
    ] {
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn functions_of_docker() {
    for (template, expected) in [
        ("{{json .Args}}", r#"["sh","-c","echo hi"]"#),
        ("{{json .Name}} {{json .State.Health}}", "\"web\" null"),
        ("{{.Name | upper}} {{upper .Name | lower}} {{title \"two words\"}}", "WEB web Two Words"),
        ("{{join .Args \"\\n\"}}", "sh\n-c\necho hi"),
        ("{{join .Args `, `}}", "sh, -c, echo hi"),
        ("{{range split \"a:b\" \":\"}}<{{.}}>{{end}}", "<a><b>"),
        ("{{truncate .Id 4}} {{.Id | printf \"%.3s\"}} {{truncate .Name 9}}", "0123 012 web"),
        ("[{{pad .Name 1 2}}] [{{pad \"\" 1 2}}]", "[ web  ] []"),
        ("{{println .Name 3}}.", "web 3\n."),
        ("{{len .Args}} {{len .Name}} {{len .Labels}}", "3 3 2"),
        ("{{index .Labels \"com.x\"}}[{{index .Labels \"no\"}}]{{index .Args 1}}", "1[]-c"),
        ("{{slice .Id 0 3}} {{slice .Args 1}}", "012 [-c echo hi]"),
    ] {
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn printing_as_go_does() {
    for (template, expected) in [
        (r#"{{printf "%s=%d" .Name .State.Pid}}"#, "web=42"),
        (r#"{{printf "%5s|%-5s|%05d|%+d" .Name .Name 42 42}}"#, "  web|web  |00042|+42"),
        (r#"{{printf "%q %v %x %X %t" .Name .Args 255 255 true}}"#, "\"web\" [sh -c echo hi] ff FF true"),
        (r#"{{printf "%.2f %6.1f|%g|%e" 0.5 2.25 1.5 1500.5}}"#, "0.50    2.2|1.5|1.500500e+03"),
        (r#"{{printf "%d%%" .State.Pid}}"#, "42%"),
        (r#"{{printf "%d" .Name}}"#, "%!d(string=web)"),
        (r#"{{printf "%s"}} {{printf "%"}}"#, "%!s(MISSING) %!(NOVERB)"),
        (r#"{{printf "x" 1}}"#, "x%!(EXTRA int=1)"),
        (r#"{{print 1 2 "a" "b" 3}}"#, "1 2ab3"),
    ] {
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn conditions() {
    for (template, expected) in [
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Error}}a{{else if eq .Name \"web\"}}b{{else}}c{{end}}", "b"),
        ("{{if and .State.Running (gt .State.Pid 40)}}y{{end}}", "y"),
        ("{{or .State.Error .Name}} {{and .State.Error .Nothing}}.", "web ."),
        ("{{not .Empty}} {{eq .Name \"a\" \"web\"}} {{ne 1 2}} {{lt 1 1.5}}", "true true true true"),
        ("{{with .State}}{{.Pid}}{{end}}{{with .Empty}}x{{else}}none{{end}}", "42none"),
        ("{{with $s := .State}}{{$s.Pid}} {{$.Name}}{{end}}", "42 web"),
    ] {
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn ranges_and_variables() {
    for (template, expected) in [
        ("{{range .Args}}[{{.}}]{{end}}", "[sh][-c][echo hi]"),
        ("{{range $i, $a := .Args}}{{if $i}},{{end}}{{$a}}{{end}}", "sh,-c,echo hi"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "com.x=1;tier=front;"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Args}}{{if eq . \"-c\"}}{{continue}}{{end}}{{.}}{{break}}{{end}}", "sh"),
        ("{{$n := 1}}{{range .Args}}{{$n = .}}{{end}}{{$n}}", "echo hi"),
        ("{{$x := .Name}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "2web"),
    ] {
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn trimming_and_comments() {
    for (template, expected) in [
        ("a  {{- .Name -}}  b", "awebb"),
        ("a {{/* no */}} b{{- /* yes */ -}} c", "a  bc"),
        ("{{-3}}", "-3"),
        ("{{ .Name -}} \n {{- .Id}}", "web0123456789ab"),
    ] {
        assert_eq!(shown(template), expected, "{template}");
    }
}

#[test]
fn errors_point_at_the_place() {
    for (template, column, words) in [
        ("{{.Nmae}}", 3, "there is no field .Nmae; the nearest is .Name"),
        ("é {{.State.pid}}{{.State.Pd}}", 25, "there is no field .Pd; the nearest is .Pid"),
        ("{{.name.x}}", 3, "there is no field .name; the nearest is .Name"),
        ("{{.Name", 1, "this {{ has no }}"),
        ("x{{.Name | uper}}", 12, "unknown function \"uper\"; the nearest is upper"),
        ("{{if .Name}}x", 3, "this if has no {{end}}"),
        ("{{end}}", 3, "unexpected end"),
        ("{{}}", 1, "a value between {{ and }} is missing"),
        ("{{.Name \"x\"}}", 3, ".Name takes no arguments"),
        ("{{\"abc}}", 3, "a string without its end"),
        ("{{(.Name}}", 3, "a parenthesis without its end"),
        ("{{.Name | }}", 1, "a value is missing"),
        ("{{join .Name \",\"}}", 3, "join needs a list, and got a string"),
        ("{{index .Args 7}}", 3, "index 7 is out of range: there are 3"),
        ("{{.Name.First}}", 8, "a string has no field .First"),
        ("{{$x}}", 3, "unknown variable $x"),
        ("{{eq 1 \"a\"}}", 3, "cannot compare a number with a string"),
        ("{{range .Name}}{{end}}", 9, "range cannot go over a string"),
        ("{{break}}", 3, "unexpected break outside range"),
        ("{{template \"x\"}}", 3, "template is not supported"),
        ("{{1x}}", 3, "bad number 1x"),
    ] {
        let error = render(template).expect_err(template);
        assert_eq!((error.column, error.reason.to_string().as_str()), (column, words), "{template}");
    }
}

#[test]
fn an_error_shows_the_place_to_a_person() {
    use crate::report::Explain;
    let report = Template::parse("{{.Name | uper}}").expect_err("an unknown function").report();
    assert_eq!(report.details, ["{{.Name | uper}}", "          ^"]);
}

#[test]
fn a_field_that_is_part_of_another_is_not_mentioned() {
    let template = Template::parse("{{.SizeRw}} {{json .Size}}").unwrap();
    assert!(template.mentions("Size") && template.mentions("SizeRw") && !template.mentions("Siz"));
}

#[test]
fn depth_is_bounded() {
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(render(&deep).expect_err("deep").reason, Reason::TooDeep);
    let blocks = "{{if 1}}".repeat(100_000);
    assert_eq!(render(&blocks).expect_err("deep").reason, Reason::TooDeep);
}

proptest! {
    #[test]
    fn any_text_is_answered(template in "\\PC*") {
        render(&template).ok();
    }

    #[test]
    fn any_sequence_of_pieces_is_answered(pieces in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", "{{- ", " -}}", ".", ".Name", ".Args", "$", "$x", ":=", "=", "|", "(", ")", "if ", "else ",
        "end", "range ", "with ", "break", "json ", "index ", "slice ", "printf ", "pad ", "\"%5s\"", "\"", "'a'",
        "`", "-1", "3", "0.5", " ", "/*", "*/", ",", "é", "\n", "and ", "eq ", "nil", "\\t", "join ", "split ",
    ]), 0..24)) {
        render(&pieces.concat()).ok();
    }

    #[test]
    fn text_without_braces_and_escapes_is_copied(text in "[^{\\\\]*") {
        prop_assert_eq!(render(&text).unwrap(), text);
    }
}
