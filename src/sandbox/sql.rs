//! Creates and drops databases with `psql`: this room has no database driver.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Sandbox, programs};

/// PostgreSQL truncates longer names.
const NAME_MAX: usize = 63;

impl Sandbox {
    /// Creates a database, empty or as a copy of another one without connections, and returns its URL.
    ///
    /// # Errors
    /// If it exists already, or the server refuses.
    pub fn create_database(&self, name: &str, template: Option<&str>) -> Result<String> {
        let template = checked(template.unwrap_or("template0"))?;
        self.psql(&format!("CREATE DATABASE \"{}\" TEMPLATE \"{template}\"", checked(name)?))?;
        Ok(self.url_of(name))
    }

    /// Drops a database if it exists, and closes its connections.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.psql(&format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", checked(name)?)).map(drop)
    }

    /// Renames a database without connections.
    ///
    /// # Errors
    /// If the new name is taken, or the server refuses.
    pub fn rename_database(&self, from: &str, to: &str) -> Result<()> {
        self.psql(&format!("ALTER DATABASE \"{}\" RENAME TO \"{}\"", checked(from)?, checked(to)?)).map(drop)
    }

    /// Whether a database with this name exists.
    ///
    /// # Errors
    /// If the query fails.
    pub fn has_database(&self, name: &str) -> Result<bool> {
        Ok(self.psql(&format!("SELECT 1 FROM pg_database WHERE datname = '{}'", checked(name)?))?.trim() == "1")
    }

    /// The URL of another database on the same server.
    pub fn url_of(&self, name: &str) -> String {
        with_database(&self.database_url, name)
    }

    fn psql(&self, statement: &str) -> Result<String> {
        psql(&self.database_url, self.password.as_deref(), statement)
    }
}

fn psql(url: &str, password: Option<&str>, statement: &str) -> Result<String> {
    let mut command = Command::new(programs::psql()?);
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    match password {
        // Other users can read the arguments of a process, but not its environment.
        Some(password) => {
            command.env("PGPASSWORD", password);
            command.arg(format!("--dbname={}", url.replacen(&format!(":{password}@"), "@", 1)));
        }
        None => {
            command.arg(format!("--dbname={url}"));
        }
    }
    let output = command.args(["--command", statement]).stdin(Stdio::null()).output().context("cannot start psql")?;
    if !output.status.success() {
        bail!("`{statement}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Accepts only plain names, which need no quoting.
fn checked(name: &str) -> Result<&str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_plain) {
        bail!("`{name}` is not a valid database name: use a-z, 0-9 and _, at most {NAME_MAX} characters");
    }
    Ok(name)
}

/// Replaces the database in a URL; query parameters stay.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, String::new()), |(url, query)| (url, format!("?{query}")));
    let host_at = address.find("://").map_or(0, |at| at + 3);
    let path_at = address[host_at..].find('/').map_or(address.len(), |at| host_at + at);
    format!("{}/{name}{query}", &address[..path_at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_changes() {
        assert_eq!(with_database("postgres://a:b@c:1/d", "e"), "postgres://a:b@c:1/e");
        assert_eq!(with_database("postgres://c?sslmode=require", "e"), "postgres://c/e?sslmode=require");
    }

    #[test]
    fn a_name_that_needs_quoting_is_refused() {
        assert!(checked("t_0a").is_ok());
        for name in ["", "A", "a\"b", "a b", &"a".repeat(64)] {
            assert!(checked(name).is_err(), "{name}");
        }
    }
}
