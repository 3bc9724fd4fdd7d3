//! Members, bars and news.

use super::*;
use crate::base::limits::LISTED_REST;
use crate::config::{Anywhere, read};
use crate::mail::reply::PeerReply;
use crate::net::egress::Orders;

/// A lab with three egresses in one pool; `more` goes below the first.
fn config(more: &str) -> Arc<Config> {
    let sample = include_str!("../../../systemd/postern.toml");
    let egress = |name: &str, address: &str| {
        format!(
            "[egress.{name}]\ndevice = \"{name}\"\nipv4 = \"{address}\"\nresolvers = \
             [\"9.9.9.9\"]\n"
        )
    };
    let text = format!(
        "{sample}\n{}{more}\n{}{}[pool.all]\nmembers = [\"eg1\", \"eg2\", \"eg3\"]\n",
        egress("eg1", "192.0.2.31"),
        egress("eg2", "192.0.2.32"),
        egress("eg3", "192.0.2.33"),
    );
    let reading = read(&text, &Anywhere).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    Arc::new(reading.config)
}

fn ways(more: &str) -> Ways {
    let config = config(more);
    let egress = EgressClient::in_process(Orders::new(&config));
    Ways::new(config, egress)
}

fn domain() -> Domain {
    Domain::parse("example.net").unwrap()
}

fn names(ways: &Ways, home: &str) -> Vec<String> {
    let members = ways.members(&Way::new("all", home), &domain());
    members.map_or_else(|s| vec![s.reason], |all| all.iter().map(ToString::to_string).collect())
}

fn held(names: &[&str]) -> BTreeMap<String, Holder> {
    let holder = |reason: &str| Holder {
        reason: reason.to_owned(),
        by: "alice".to_owned(),
        at: WallTime(5),
    };
    names.iter().map(|name| ((*name).to_owned(), holder("cable work"))).collect()
}

#[test]
fn stand_ins_come_from_the_pool_alone_and_the_home_comes_back() {
    let ways = ways("");
    let first = names(&ways, "eg2");
    assert_eq!((first.len(), first[0].as_str()), (3, "eg2"));
    assert!(ways.is_wanted(&Way::new("all", "eg2"), &domain(), "eg2", "p.example"));
    ways.hold(held(&["eg2"]));
    assert_eq!(names(&ways, "eg2"), first[1..]);
    let way = Way::new("all", "eg2");
    assert!(ways.is_wanted(&way, &domain(), &first[1], "p.example"));
    assert!(!ways.is_wanted(&way, &domain(), &first[2], "p.example"));
    assert!(!ways.take("eg2", "p.example") && ways.take(&first[1], "p.example"));
    ways.hold(held(&["eg1", "eg2", "eg3"]));
    let none = names(&ways, "eg2");
    assert!(none.len() == 1 && none[0].contains("suspended by alice: cable work"), "{none:?}");
    // Somebody else's egress never stands in, whole or not.
    assert!(ways.members(&Way::new("main", "main"), &domain()).is_ok());
    ways.hold(held(&[]));
    assert_eq!(names(&ways, "eg2"), first);
    assert!(!ways.is_wanted(&way, &domain(), &first[1], "p.example"), "the home is back");
}

#[test]
fn news_name_the_pools_whose_members_have_changed() {
    let ways = ways("");
    let heard: Arc<Mutex<Vec<Event>>> = Arc::default();
    let ear = heard.clone();
    ways.tell_to(Arc::new(move |event| ear.lock().unwrap().push(event)));
    assert_eq!(ways.news(), [], "the broker has not spoken");
    ways.hold(held(&["eg1"]));
    let news = |ways: &Ways| -> Vec<String> {
        let word = |closed: bool| if closed { "closed" } else { "open" };
        ways.news().into_iter().map(|n| format!("{} {}", n.pool, word(n.closed))).collect()
    };
    assert_eq!(news(&ways), ["all closed", "eg1 closed"], "of the others nothing is known");
    assert_eq!(news(&ways), Vec::<String>::new());
    ways.renew(config(""));
    assert!(news(&ways).len() >= 5, "a new configuration is told whole");
    let facts = heard.lock().unwrap().clone();
    let [Event::EgressSuspended { egress, reason, by }] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!((&**egress, &**reason, &**by), ("eg1", "cable work", "alice"));
    let state = ways.states().into_iter().find(|state| state.name == "eg1").unwrap();
    assert_eq!(state.since, Some(WallTime(5)));
    assert_eq!(state.pools, ["all", "eg1"]);
}

#[test]
fn an_address_that_is_listed_rests_towards_the_one_who_said_so() {
    let ways = ways("");
    let reply = PeerReply::new(550, "5.7.1".parse().ok(), "your address is listed");
    let say = |egress: &'static str, provider: &'static str| {
        ways.listed(Listed { egress, provider, known: true, reply: &reply })
    };
    assert!(!say("eg2", "one.example"));
    let bar = ways.bar("eg2", "one.example").unwrap();
    assert!(bar.wait.unwrap() <= LISTED_REST && bar.reason.contains("listed"), "{bar:?}");
    assert!(!ways.take("eg2", "one.example") && ways.take("eg2", "two.example"));
    assert!(ways.bar("eg1", "one.example").is_none());
    let first = names(&ways, "eg2");
    let way = Way::new("all", "eg2");
    assert!(ways.is_wanted(&way, &domain(), &first[1], "one.example"));
    assert!(!ways.is_wanted(&way, &domain(), &first[1], "two.example"));
    assert!(!say("eg2", "two.example"));
    assert!(say("eg2", "three.example"), "the third one takes the whole address out");
    assert_eq!(names(&ways, "eg2"), first[1..]);
    assert!(ways.forgive("eg2"));
    assert_eq!(names(&ways, "eg2"), first);
    assert!(ways.take("eg2", "one.example"));
}

#[test]
fn a_new_address_carries_its_allowance_and_warm_ones_the_rest() {
    let today = today();
    let date = WallTime(u64::from(today) * 86_400_000).rfc3339();
    let warm_up = format!("warm_up = {{ first_day = {}, steps = [3, 9] }}", &date[..10]);
    let path = std::env::temp_dir().join(format!("postern-ways-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let begin = || ways(&warm_up).with_accounts(Warmth::open(&path, today).unwrap());
    let ways = begin();
    assert_eq!(names(&ways, "eg1")[0], "eg1");
    for home in ["eg2", "eg3"] {
        assert_eq!(names(&ways, home)[2], "eg1", "it stands in last");
    }
    assert!(ways.take("eg1", "p.example") && ways.take("eg1", "p.example"));
    drop(ways);
    // A restart forgets nothing.
    let ways = begin();
    assert!(ways.take("eg1", "p.example") && !ways.take("eg1", "p.example"));
    assert!(ways.take("eg1", "other.example"));
    let bar = ways.bar("eg1", "p.example").unwrap();
    assert!(bar.reason.contains("3 messages to p.example"), "{bar:?}");
    assert!(bar.wait.unwrap() <= Duration::from_secs(DAY_SECS));
    let way = Way::new("all", "eg1");
    let stand_in = names(&ways, "eg1").remove(1);
    assert!(ways.is_wanted(&way, &domain(), &stand_in, "p.example"));
    ways.give_back("eg1", "p.example");
    assert!(ways.bar("eg1", "p.example").is_none());
    let states = ways.states();
    let row = states.iter().find(|state| state.name == "eg1").and_then(|s| s.warm_up.clone());
    assert_eq!(row.as_deref(), Some("day 1 of 2: 3 to a provider; 3 sent, most to p.example: 2"),);
    assert!(states.iter().filter(|state| state.warm_up.is_some()).count() == 1);
    std::fs::remove_file(&path).unwrap();
}
