//! Native code on disk.

use std::fs;

use assay::sandbox::Limits;

use super::{Bench, call, component, sandbox};

#[tokio::test]
async fn damaged_native_code_is_compiled_again_and_never_loaded() {
    let bench = Bench::new(1);
    bench.run("passes").await.unwrap();
    let [native] = &bench.native_files()[..] else {
        panic!("one file")
    };
    let good = fs::read(native).unwrap();
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&flipped[..], &good[..100], b""] {
        // Before a process has seen it, and behind the back of one that has.
        fs::write(native, damaged).unwrap();
        let other = sandbox(bench.folder.path(), 1);
        let module = other.prepare(&component("passes")).await.unwrap();
        assert_eq!(fs::read(native).unwrap(), good);
        fs::write(native, damaged).unwrap();
        other.run(&module, &call(""), &Limits::default()).await.unwrap();
        assert_eq!(fs::read(native).unwrap(), good);
    }
    fs::remove_file(native).unwrap();
    let other = sandbox(bench.folder.path(), 1);
    let module = other.prepare(&component("passes")).await.unwrap();
    other.run(&module, &call(""), &Limits::default()).await.unwrap();
}

#[tokio::test]
async fn two_sandboxes_may_fill_one_cache_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (sandbox(folder.path(), 1), sandbox(folder.path(), 1));
    let source = component("passes");
    let (first, second) = tokio::join!(one.prepare(&source), other.prepare(&source));
    for (sandbox, module) in [(one, first.unwrap()), (other, second.unwrap())] {
        assert!(
            sandbox
                .run(&module, &call(""), &Limits::default())
                .await
                .unwrap()
                .answer
                .unwrap()
                .pass
        );
    }
}
