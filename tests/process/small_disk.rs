//! A full disk of its own file system.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use cartwire::platforms::{Unsigned, platform};
use support::process::ProcessGateway;
use support::store::{Keys, SHOP};
use support::{eventually, unique};

/// A small file system in memory; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn of(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(folder))
    }

    /// Writes a file until nothing fits any more.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("filler")).expect("created");
        for bytes in [1 << 20, 4 << 10, 1] {
            while file.write_all(&vec![0; bytes]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_disk_of_settled_deliveries_is_freed_after_a_kill() {
    let Some(disk) = SmallDisk::of("48m") else {
        eprintln!("not tried: mounting a file system needs root");
        return;
    };
    let folder = tempfile::tempdir_in(disk.0.path()).expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("created");
    let origin = ProcessGateway::new(&[]);
    for name in ["cartwire.db", "master.key"] {
        std::fs::copy(origin.data().join(name), data.join(name)).expect("copied");
    }
    let mut gateway = ProcessGateway::on_copy(folder);
    gateway.set_options(&[
        "--disk-reserve",
        "4MiB",
        "--disk-budget",
        "1GiB",
        "--retain-size",
        "1GiB",
    ]);
    gateway.start().await;
    // More than the disk holds: what is settled makes room for what comes.
    let mut taken = 0;
    for number in 0..100 {
        if status_of(&gateway, 1_000_000).await == 200 {
            taken += 1;
        } else {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(number < 99 || taken > 60, "{taken} were taken");
    }
    disk.fill();
    eventually("it makes room", || async {
        gateway.is_ready().await.then_some(())
    })
    .await;
    eventually("it takes one", || async {
        (status_of(&gateway, 10_000).await == 200).then_some(())
    })
    .await;
    eventually("the reserve file is back", || async {
        let reserve = gateway.data().join("cartwire.reserve");
        reserve.exists().then_some(())
    })
    .await;
    gateway.kill();
    disk.fill();
    gateway.start().await;
    eventually("it takes one again", || async {
        (status_of(&gateway, 10_000).await == 200).then_some(())
    })
    .await;
    assert!(gateway.terminate().await.success());
}

/// Sends an order with a note of that length and gives the status of the answer; 0 without one.
async fn status_of(gateway: &ProcessGateway, bytes: usize) -> u16 {
    let payload = format!(
        r#"{{"id":{},"total":"1.00","note":"{}"}}"#,
        unique(),
        "x".repeat(bytes)
    );
    let unsigned = Unsigned {
        topic: "order.updated",
        payload: payload.as_bytes(),
        nonce: unique(),
        options: &BTreeMap::new(),
    };
    let signed = platform("woocommerce")
        .expect("a platform")
        .sign(&unsigned, &Keys::test().shop, jiff::Timestamp::now())
        .expect("signed");
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let mut request = client.post(format!(
        "http://{}/webhooks/woocommerce/{SHOP}",
        gateway.public()
    ));
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    let answer = request.body(signed.body).send().await;
    answer.map_or(0, |answer| answer.status().as_u16())
}
