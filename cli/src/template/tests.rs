//! Rendering without an agent, and what is believed of one.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use hobnob_api::{Instance, Instances, Member, Picture, Reset, WatchEvent};
use serde_json::json;
use tokio::time::Instant;

use super::believed::{Believed, HELD_FOR};
use super::render::{Rendered, render};
use super::topic::{Known, ServiceKey, Topic, View};

fn instance(service: &str, id: &str, status: &str, basis: &str) -> Instance {
    let json = json!({
        "service": service, "id": id, "node": "a1", "node_id": "00000000000000ab", "datacenter": "eu", "zone": "z1",
        "address": "10.0.0.1", "port": 80, "tags": ["v1"], "meta": {"path": "/x"}, "weight": 3, "namespace": "default",
        "status": status, "offered": true, "basis": basis, "age_ms": 7,
    });
    serde_json::from_value(json).unwrap()
}

fn healthy(service: &str, id: &str) -> Instance {
    instance(service, id, "healthy", "current")
}

fn topic(service: &str) -> Topic {
    let (namespace, service) = ("default".to_owned(), service.to_owned());
    Topic::Service(ServiceKey { namespace, service })
}

fn known(instances: Vec<Instance>) -> Result<Known, String> {
    Ok(Known::instances(instances.into_iter()))
}

fn rendered(source: &str, view: View) -> Rendered {
    render(Path::new("a.tmpl"), source, view)
}

/// The text of a template about these instances.
fn text(source: &str, instances: Vec<Instance>) -> Result<String, String> {
    let rendered = rendered(source, View::from([(Topic::Services, known(instances))]));
    assert!(rendered.is_complete, "{source}");
    rendered.text
}

#[test]
fn what_a_template_asks_for_is_found_by_rendering_it() {
    let source = "{% for name in service('names') %}{% for one in service(name.meta.path[1:]) %}{{ one.endpoint }}\n\
                  {% endfor %}{% endfor %}{{ service('db')|length }}";
    let first = rendered(source, View::new());
    assert!(!first.is_complete, "nothing is known");
    assert_eq!(first.asked, BTreeSet::from([topic("names"), topic("db")]), "it goes on");

    let names = (topic("names"), known(vec![healthy("names", "n1")]));
    let second = rendered(source, View::from([names.clone()]));
    assert!(!second.is_complete);
    assert_eq!(second.asked, BTreeSet::from([topic("names"), topic("db"), topic("x")]));

    let view = [names, (topic("db"), known(vec![])), (topic("x"), known(vec![healthy("x", "x1")]))];
    let third = rendered(source, View::from(view));
    assert!(third.is_complete);
    assert_eq!(third.text.as_deref(), Ok("10.0.0.1:80\n0"));
    assert_eq!(third.notes.without_instances, BTreeSet::from(["db".to_owned()]));
}

#[test]
fn an_error_of_a_rendering_without_all_answers_means_nothing() {
    let source = "{{ service('web')[0].address }} {{ service('db')|length }}";
    let first = rendered(source, View::new());
    assert!(!first.is_complete && first.text.is_err());
    assert_eq!(first.asked, BTreeSet::from([topic("web")]), "it ended there");
}

#[test]
fn all_services_tell_of_each() {
    let source = "{{ service('x')|length }}{% for one in services() %} {{ one.name }}={{ service(one.name)|length }}\
                  /{{ one.instances }}{% endfor %}";
    let rendered = rendered(
        source,
        View::from([(Topic::Services, known(vec![healthy("db", "1"), healthy("web", "2")]))]),
    );
    assert!(rendered.is_complete);
    assert_eq!(rendered.asked, BTreeSet::from([Topic::Services]));
    assert_eq!(rendered.text.as_deref(), Ok("0 db=1/1 web=1/1"));
}

#[test]
fn the_instances_are_those_that_a_pick_may_choose() {
    let all = || {
        let mut tagged = healthy("web", "w2");
        (tagged.tags, tagged.datacenter) = (BTreeSet::from(["v2".to_owned()]), "us".to_owned());
        vec![
            instance("web", "w4", "unhealthy", "current"),
            instance("web", "w3", "unknown", "last_known"),
            tagged,
            healthy("web", "w1"),
        ]
    };
    let ids = |options: &str| {
        let ids = "|map(attribute='id')|join(' ')";
        text(&format!("{{{{ service('web'{options}){ids} }}}}"), all())
    };
    for (options, expected) in [
        ("", "w1 w2"),
        (", all=true", "w1 w2 w3 w4"),
        (", tag='v2'", "w2"),
        (", tag=['v1', 'v2']", ""),
        (", dc='us,ap'", "w2"),
        (", dc=['eu']", "w1"),
        (", selector='path=/x,!v1'", "w2"),
        (", healthy=true", "w1 w2"),
        (", namespace='other'", ""),
    ] {
        assert_eq!(ids(options).as_deref(), Ok(expected), "{options}");
    }
    let lost = || vec![instance("web", "w3", "unknown", "last_known")];
    assert_eq!(text("{{ service('web')|length }}", lost()).as_deref(), Ok("1"));
    assert_eq!(text("{{ service('web', healthy=true)|length }}", lost()).as_deref(), Ok("0"));
}

#[test]
fn a_text_does_not_differ_with_the_order_or_the_age_of_instances() {
    let older = Instance { age_ms: 9_000, ..healthy("web", "w1") };
    let source = "{{ service('web')|tojson }}";
    let one = text(source, vec![healthy("web", "w1"), healthy("web", "w2")]).unwrap();
    assert_eq!(text(source, vec![healthy("web", "w2"), older]).unwrap(), one);
    let json: serde_json::Value = serde_json::from_str(&one).unwrap();
    assert_eq!(
        json[0],
        json!({
            "id": "w1", "service": "web", "namespace": "default", "address": "10.0.0.1", "port": 80,
            "endpoint": "10.0.0.1:80", "tags": ["v1"], "meta": {"path": "/x"}, "weight": 3, "member": "a1",
            "node_id": "00000000000000ab", "dc": "eu", "zone": "z1", "status": "healthy", "basis": "current",
            "offered": true, "draining": false,
        })
    );
}

#[test]
fn members_have_the_address_without_the_port() {
    let member = |name: &str, address: &str, dc: &str| -> Member {
        let json = json!({
            "name": name, "node_id": "00000000000000ab", "gossip_address": address, "status": "alive", "datacenter": dc,
            "zone": "", "epoch": 1,
        });
        serde_json::from_value(json).unwrap()
    };
    let all =
        [member("b", "[::1]:7946", "eu"), member("a", "10.0.0.1:1", "eu"), member("c", "", "us")];
    let view = View::from([(Topic::Members, Ok(Known::members(all.into_iter())))]);
    let source = "{% for one in members(dc='eu') %}{{ one.address }} {{ one.name }}\n{% endfor %}";
    assert_eq!(rendered(source, view).text.as_deref(), Ok("10.0.0.1 a\n::1 b\n"));
}

#[test]
fn a_mistake_is_told_with_the_file_and_the_line() {
    for (source, says) in [
        ("a\n{{ servce }}", "a.tmpl:2: undefined value"),
        ("\n\n{{ servce('web') }}", "a.tmpl:3: unknown function"),
        ("{% if nothing %}{% endif %}", "a.tmpl:1: undefined value"),
        (
            "{% for one in service('web') %}\n{{ one.prot }}{% endfor %}",
            "a.tmpl:2: undefined value",
        ),
        ("\n{% for x in %}", "a.tmpl:2: syntax error"),
        ("{{ service('a b') }}", "a.tmpl:1: the service `a b` has a space"),
        ("{{ service('web', tags='v1') }}", "unknown keyword argument 'tags'"),
        ("{{ service('web', selector='(') }}", "a.tmpl:1: bad selector `(`"),
        ("{{ service('web', tag=7) }}", "a.tmpl:1: tag= takes a text or a list of texts, not 7"),
        ("{{ service('web', healthy=true, all=true) }}", "not both"),
        ("\n{{ fail('no web') }}", "a.tmpl:2: no web"),
        ("{{ env('HOBNOB_NO_SUCH') }}", "a.tmpl:1: the variable `HOBNOB_NO_SUCH` is not set"),
        ("{% include 'other' %}", "a.tmpl:1: syntax error"),
    ] {
        let told = text(source, vec![healthy("web", "w1")]).unwrap_err();
        assert!(told.contains(says), "{source}: {told}");
    }
    let undefined = text("{{ servce }}", vec![]).unwrap_err();
    assert!(undefined.contains("servce"), "it names the name: {undefined}");
}

#[test]
fn blocks_leave_no_lines_and_nothing_is_escaped() {
    let source =
        "a {\n  {% for one in service('web') %}\n  {{ one.meta.path }} <&>\n  {% endfor %}\n}\n";
    assert_eq!(text(source, vec![healthy("web", "w1")]).as_deref(), Ok("a {\n  /x <&>\n}\n"));
    let source = "{{ env('HOBNOB_NO_SUCH', default='x<y') }}";
    assert_eq!(text(source, vec![]).as_deref(), Ok("x<y"));
    let yaml = render(Path::new("a.yaml"), "a: {{ 'b' }}", View::new());
    assert_eq!(yaml.text.as_deref(), Ok("a: b"));
}

fn whole(isolated: bool, instances: Vec<Instance>) -> WatchEvent {
    WatchEvent::Instances(Instances {
        revision: 1,
        isolated,
        consistency: Default::default(),
        settings: None,
        instances,
    })
}

/// The number of instances of `web` that templates see; `None` while nothing is known.
fn seen(believed: &Believed<Picture>) -> Option<usize> {
    let Known::Services(services) = believed.known()? else { panic!("no services") };
    Some(services.values().map(Vec::len).sum())
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_restarted_is_not_believed_until_it_knows_as_much_or_some_time_passed() {
    let restarted = Some(Reset::OtherRun);
    let (both, one) =
        (|| vec![healthy("web", "w1"), healthy("web", "w2")], || vec![healthy("web", "w1")]);
    let now = Instant::now();
    let mut believed = Believed::<Picture>::default();
    assert_eq!(seen(&believed), None);
    assert!(believed.take(&whole(false, both()), None, now));
    assert_eq!(seen(&believed), Some(2));
    assert!(!believed.take(&whole(true, one()), restarted, now), "nothing to show yet");
    assert_eq!((seen(&believed), believed.held_until()), (Some(2), Some(now + HELD_FOR)));
    assert!(believed.take(&whole(false, both()), None, now), "all is back");
    assert_eq!((seen(&believed), believed.held_until()), (Some(2), None));

    let later = now + Duration::from_secs(60);
    believed.take(&whole(false, vec![]), restarted, later);
    believed.take(&whole(false, one()), restarted, later + Duration::from_secs(1));
    assert_eq!(seen(&believed), Some(2), "a second restart begins no time anew");
    assert_eq!(believed.held_until(), Some(later + HELD_FOR));
    believed.release();
    assert_eq!(seen(&believed), Some(1));
    // Without a restart, what vanishes has vanished.
    assert!(believed.take(&whole(false, vec![]), Some(Reset::FellBehind), later));
    assert_eq!(seen(&believed), Some(0));
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_of_an_agent_that_hears_nobody_yet_waits() {
    let now = Instant::now();
    let mut believed = Believed::<Picture>::default();
    assert!(!believed.take(&whole(true, vec![healthy("web", "w1")]), None, now));
    assert_eq!(seen(&believed), None);
    believed.take(&whole(false, vec![healthy("web", "w1"), healthy("web", "w2")]), None, now);
    assert_eq!(seen(&believed), Some(2));

    let mut believed = Believed::<Picture>::default();
    believed.take(&whole(true, vec![]), None, now);
    assert_eq!(believed.held_until(), Some(now + HELD_FOR));
    believed.release();
    assert_eq!(seen(&believed), Some(0), "it is alone for longer");
}
