//! The files in `deploy/` as far as they can be checked without a cluster: they are YAML, agree with the code, and keep
//! what is secret apart.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use assay::config::{CommonArgs, Config};
use assay::queue::Lane;
use serde::Deserialize as _;
use serde_json::Value;

/// The documents of a file.
fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

fn deploy() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn manifests() -> Vec<Value> {
    let files = std::fs::read_dir(deploy().join("kubernetes")).unwrap();
    files.flat_map(|file| documents(&file.unwrap().path())).collect()
}

fn manifest(kind: &str, name: &str) -> Value {
    let found = manifests()
        .into_iter()
        .find(|manifest| manifest["kind"] == kind && manifest["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn service(name: &str) -> Value {
    let compose = documents(&deploy().join("compose.yaml")).remove(0);
    let mut service = compose["services"][name].clone();
    assert!(service.is_object(), "no service {name}");
    // YAML's merge key, which the parser leaves to its caller.
    if let Some(Value::Object(merged)) = service.as_object_mut().unwrap().remove("<<") {
        for (key, value) in merged {
            service.as_object_mut().unwrap().entry(key).or_insert(value);
        }
    }
    service
}

/// The settings as the containers get them.
fn settings() -> Config {
    let text = manifest("ConfigMap", "assay")["data"]["assay.toml"].clone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("assay.toml");
    std::fs::write(&path, text.as_str().unwrap()).unwrap();
    let args = CommonArgs {
        config: Some(path),
        ..CommonArgs::default()
    };
    Config::load(&args).unwrap()
}

/// The names of all secrets that a pod refers to.
fn secrets(manifest: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![manifest];
    while let Some(value) = left.pop() {
        if let Some(object) = value.as_object() {
            if let Some(name) = object
                .get("secretKeyRef")
                .and_then(|secret| secret["name"].as_str())
            {
                found.insert(name.to_owned());
            }
            if let Some(name) = object.get("secretName").and_then(Value::as_str) {
                found.insert(name.to_owned());
            }
        }
        left.extend(value.as_object().into_iter().flat_map(|object| object.values()));
        left.extend(value.as_array().into_iter().flatten());
    }
    found
}

#[test]
fn every_manifest_is_complete_and_in_our_namespace() {
    let manifests = manifests();
    assert!(manifests.len() >= 8, "{}", manifests.len());
    for manifest in manifests {
        let named = manifest["apiVersion"].is_string() && manifest["metadata"]["name"].is_string();
        assert!(named, "{manifest}");
        let namespace = &manifest["metadata"]["namespace"];
        assert!(
            manifest["kind"] == "Namespace" || namespace == "assay",
            "{manifest}"
        );
    }
}

#[test]
fn every_container_is_confined_and_bounded() {
    for (kind, name) in [
        ("Deployment", "worker"),
        ("Deployment", "settlement"),
        ("Job", "setup"),
    ] {
        let manifest = manifest(kind, name);
        let pod = &manifest["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            assert!(container["resources"]["requests"]["cpu"].is_string(), "{name}");
        }
    }
    for name in ["setup", "worker", "settlement", "people"] {
        let service = service(name);
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
    }
}

#[test]
fn who_decides_cannot_settle_and_who_settles_cannot_decide() {
    let worker = secrets(&manifest("Deployment", "worker"));
    let settlement = secrets(&manifest("Deployment", "settlement"));
    assert_eq!(worker, ["assay-key", "assay-worker"].map(str::to_owned).into());
    assert_eq!(
        settlement,
        ["assay-settlement", "assay-trust"].map(str::to_owned).into()
    );
    let volumes = |name| service(name)["volumes"].to_string();
    assert_eq!(volumes("worker"), r#"["key:/etc/assay/key:ro"]"#);
    assert_eq!(volumes("settlement"), r#"["trust:/etc/assay/trust:ro"]"#);
}

#[test]
fn a_drain_may_take_as_long_as_the_longest_verification() {
    let pool = settings().pool;
    assert!(pool.grace > pool.verification_limit);
    let worker = manifest("Deployment", "worker");
    let patience = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
    // Beyond the grace, what is told to stop flushes and closes its connections.
    assert!(patience.unwrap() >= pool.grace.as_secs() + 30);
    let patience: jiff::SignedDuration = service("worker")["stop_grace_period"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(patience.as_secs() >= pool.grace.as_secs().cast_signed() + 30);
}

#[test]
fn probes_reach_the_address_that_is_listened_at() {
    let listen = settings().pool.listen.unwrap();
    assert!(
        listen.ip().is_unspecified(),
        "probes come from outside of the pod"
    );
    for (name, port) in [("worker", listen.port()), ("settlement", listen.port() + 1)] {
        let manifest = manifest("Deployment", name);
        let pod = &manifest["spec"]["template"];
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["ports"][0]["containerPort"], port, "{name}");
        let scraped = &pod["metadata"]["annotations"]["prometheus.io/port"];
        assert_eq!(scraped, &port.to_string(), "{name}");
        for (probe, path) in [
            ("startupProbe", "/healthz"),
            ("livenessProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
        ] {
            assert_eq!(container[probe]["httpGet"]["path"], path, "{name}: {probe}");
            assert_eq!(container[probe]["httpGet"]["port"], "health", "{name}: {probe}");
        }
    }
    // The image's own check asks a worker.
    assert!(service("worker")["healthcheck"].is_null());
    assert_eq!(
        service("settlement")["healthcheck"]["test"],
        serde_json::json!(["CMD", "assay", "health", "--settlement"])
    );
}

#[test]
fn workers_are_scaled_by_both_lanes() {
    let scaled = manifest("ScaledObject", "worker");
    let triggers = scaled["spec"]["triggers"].as_array().unwrap();
    let queues = triggers
        .iter()
        .map(|trigger| trigger["metadata"]["queueName"].as_str().unwrap());
    assert_eq!(
        queues.collect::<Vec<_>>(),
        [Lane::Submitted, Lane::Judge].map(Lane::queue)
    );
}
