//! A directory as kubelet mounts a ConfigMap, and changes it: all files at once, by the swap of one link.
//!
//! ```text
//!   config/tenants.yaml ─► ..data/tenants.yaml
//!   config/..data       ─► ..1          then, atomically, ─► ..2, and ..1 is removed
//!   config/..1/tenants.yaml
//! ```

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub struct ConfigMap {
    folder: PathBuf,
    generation: u32,
}

impl ConfigMap {
    /// Mounts files (name, text) at `folder`, which must not be there yet.
    pub fn mount(folder: &Path, files: &[(&str, &str)]) -> Self {
        std::fs::create_dir_all(folder).expect("the story's folder is writable");
        let mut mounted = Self {
            folder: folder.to_path_buf(),
            generation: 0,
        };
        mounted.replace(files);
        mounted
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Replaces all files in one instant. Files that are no longer named disappear.
    pub fn replace(&mut self, files: &[(&str, &str)]) {
        let old = self.generation_name();
        self.generation += 1;
        let new = self.generation_name();
        std::fs::create_dir(self.folder.join(&new)).expect("a generation has a name of its own");
        for (name, text) in files {
            std::fs::write(self.folder.join(&new).join(name), text).expect("it was just created");
        }
        symlink(&new, self.folder.join("..data_tmp")).expect("no other swap is under way");
        std::fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data"))
            .expect("a link may replace a link");
        self.link_names(&files.iter().map(|(name, _)| *name).collect());
        if self.generation > 1 {
            std::fs::remove_dir_all(self.folder.join(old)).expect("the old generation is ours");
        }
    }

    fn generation_name(&self) -> String {
        format!("..{}", self.generation)
    }

    /// As kubelet does: links of new names appear, those of files that are gone go.
    fn link_names(&self, names: &BTreeSet<&str>) {
        for entry in std::fs::read_dir(&self.folder)
            .expect("the folder is there")
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("..") && !names.contains(name.as_str()) {
                std::fs::remove_file(entry.path()).expect("the link is ours");
            }
        }
        for name in names {
            let link = self.folder.join(name);
            if link.symlink_metadata().is_err() {
                symlink(Path::new("..data").join(name), link).expect("the name is free");
            }
        }
    }
}
