//! `scopes`: lists the permissions that the features need at the platforms, and the missing ones of an installation.

use clap::Args;
use serde_json::{Value, json};

use super::exit::Exit;
use super::output::{Output, table};
use super::stores::{self, no_such};
use crate::config::DataArgs;
use crate::connections::Connection;
use crate::platforms::api::Scope;
use crate::platforms::{PLATFORMS, StoreApi, WebhookPlatform, platform, store_api};

#[derive(Args, Debug)]
pub(super) struct ScopesArgs {
    /// Connection whose missing permissions are listed
    connection: Option<String>,
}

/// A permission that a platform's features need.
struct Permission {
    platform: &'static str,
    scope: &'static Scope,
    /// `None` if it is unknown.
    is_granted: Option<bool>,
}

impl Permission {
    fn json(&self) -> Value {
        let scope = self.scope;
        json!({"platform": self.platform, "feature": scope.feature, "name": scope.name, "id": scope.id, "granted": self.is_granted})
    }

    fn row(&self) -> Vec<String> {
        let granted = match self.is_granted {
            Some(true) => "yes",
            Some(false) => "MISSING",
            None => "-",
        };
        let scope = self.scope;
        [self.platform, scope.feature, scope.name, scope.id, granted]
            .map(str::to_owned)
            .to_vec()
    }
}

pub(super) fn run(data: &DataArgs, args: &ScopesArgs, output: Output) -> anyhow::Result<Exit> {
    let connection = match &args.connection {
        None => None,
        Some(text) => {
            let id = stores::id(text)?;
            Some(
                super::data::open_data(data)?
                    .connection(&id)?
                    .ok_or_else(|| no_such(&id))?,
            )
        }
    };
    let requested: Vec<&dyn WebhookPlatform> = match &connection {
        None => PLATFORMS.to_vec(),
        Some(connection) => platform(&connection.platform).into_iter().collect(),
    };
    let permissions: Vec<Permission> = requested
        .iter()
        .flat_map(|platform| {
            let scopes = platform.api().map_or(&[][..], StoreApi::scopes);
            scopes.iter().map(|scope| Permission {
                platform: platform.name(),
                scope,
                is_granted: connection
                    .as_ref()
                    .and_then(|connection| is_granted(connection, scope)),
            })
        })
        .collect();
    let values: Vec<Value> = permissions.iter().map(Permission::json).collect();
    output.value(&json!({"scopes": values}), || {
        if permissions.is_empty() {
            return "this platform needs no permissions".to_owned();
        }
        let rows: Vec<Vec<String>> = permissions.iter().map(Permission::row).collect();
        table(
            &["PLATFORM", "FEATURE", "PERMISSION", "ID", "GRANTED"],
            &rows,
        )
    })?;
    let missing = permissions
        .iter()
        .any(|permission| permission.is_granted == Some(false));
    Ok(if missing { Exit::No } else { Exit::Success })
}

/// `true` if the installation has the permission; `None` if its permissions are unknown.
fn is_granted(connection: &Connection, scope: &Scope) -> Option<bool> {
    let api = store_api(&connection.platform)?;
    let granted = api.granted_permissions(&connection.settings)?;
    let mut names = scope.permissions.iter();
    Some(names.any(|name| granted.contains(name)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::connections::INSTALLATION_KIND;
    use crate::delivery::ConnectionId;

    #[test]
    fn a_permission_is_granted_under_any_of_its_names() {
        let scope = Scope {
            feature: "orders",
            name: "Read Orders",
            id: "SCOPE.ORDERS",
            permissions: &["orders.read", "orders.all"],
        };
        let with = |settings: &[(&str, &str)]| {
            let settings: BTreeMap<String, String> = settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let id = ConnectionId::new("site").expect("an id");
            let connection = Connection {
                settings,
                ..Connection::new(id, "wix", INSTALLATION_KIND, jiff::Timestamp::UNIX_EPOCH)
            };
            is_granted(&connection, &scope)
        };
        assert_eq!(with(&[]), None);
        assert_eq!(
            with(&[("permissions", "products.read orders.all")]),
            Some(true)
        );
        assert_eq!(
            with(&[("permissions", "products.read orders.all.else")]),
            Some(false)
        );
        assert_eq!(with(&[("permissions", "")]), Some(false));
    }
}
