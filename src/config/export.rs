//! Settings of the export of history.

use serde::{Deserialize, Serialize};

use super::Error;

/// How the place begins if it is a bucket.
const BUCKET: &str = "s3://";

section! {
    /// History that is written elsewhere before it is deleted.
    Export {
        /// A folder, or `s3://bucket/prefix`. Empty: nothing is exported. It must be the same for every process with the role cleaner.
        to: String = String::new(),
        /// The URL of an S3-compatible server; empty means that of Amazon in `export.region`.
        endpoint: String = String::new(),
        /// The region of the bucket.
        region: String = "us-east-1".into(),
        /// The id of the access key.
        access_key_id: String = String::new(),
        /// A file with the secret access key, read for each pass.
        secret_key_file: String = String::new(),
    }
}

/// Where history goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportPlace<'a> {
    /// Nowhere.
    None,
    /// Into a folder.
    Folder(&'a str),
    /// Into a bucket, below a prefix that may be empty.
    Bucket {
        /// The bucket.
        name: &'a str,
        /// The prefix, without slashes at its ends.
        prefix: &'a str,
    },
}

impl Export {
    /// Where history goes.
    pub fn place(&self) -> ExportPlace<'_> {
        match self.to.strip_prefix(BUCKET) {
            Some(rest) => {
                let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                ExportPlace::Bucket { name, prefix: prefix.trim_matches('/') }
            }
            None if self.to.is_empty() => ExportPlace::None,
            None => ExportPlace::Folder(&self.to),
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error(why.to_owned()));
        match self.place() {
            ExportPlace::None => Ok(()),
            ExportPlace::Folder(folder) if folder.contains("://") => {
                refuse("`export.to` must be a folder, or begin with s3://")
            }
            ExportPlace::Folder(folder) if !folder.starts_with('/') => {
                refuse("`export.to` must be an absolute path, because processes start in different folders")
            }
            ExportPlace::Folder(_) => Ok(()),
            ExportPlace::Bucket { name: "", .. } => refuse("`export.to` names no bucket: write s3://bucket/prefix"),
            ExportPlace::Bucket { .. } if self.access_key_id.is_empty() || self.secret_key_file.is_empty() => {
                refuse("a bucket needs `export.access_key_id` and `export.secret_key_file`")
            }
            ExportPlace::Bucket { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_folder_or_a_bucket_with_its_keys() {
        let to = |to: &str| Export { to: to.into(), ..Export::default() };
        assert_eq!(to("").place(), ExportPlace::None);
        assert_eq!(to("/var/history").place(), ExportPlace::Folder("/var/history"));
        assert_eq!(to("s3://b/a/c/").place(), ExportPlace::Bucket { name: "b", prefix: "a/c" });
        assert_eq!(to("s3://b").place(), ExportPlace::Bucket { name: "b", prefix: "" });
        assert!(to("").validate().is_ok() && to("/var/history").validate().is_ok());
        for (wrong, why) in [
            ("history", "absolute path"),
            ("gs://b", "begin with s3://"),
            ("s3://", "names no bucket"),
            ("s3://b", "export.secret_key_file"),
        ] {
            let error = to(wrong).validate().unwrap_err().to_string();
            assert!(error.contains(why), "{wrong}: {error}");
        }
    }
}
