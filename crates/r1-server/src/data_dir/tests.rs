use std::os::unix::fs::{chown, symlink};

use super::*;
use crate::config::{self, Flags};

fn config(directory: &Path, environment: &[(&str, &str)]) -> Config {
    let flags = Flags { data_dir: Some(directory.to_owned()), ..Flags::default() };
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    config::load(&config::Source { flags, environment }).unwrap().config
}

fn on_postgres(directory: &Path) -> Config {
    let key = "k".repeat(32);
    config(directory, &[("DATABASE_URL", "postgres://ada:hunter2@db.example/chat"), ("SECRET_KEY", &key)])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_command_that_makes_nothing_names_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    for directory in [home.path().to_owned(), home.path().join("none")] {
        let refused = check(&config(&directory, &[])).unwrap_err().to_string();
        assert!(refused.contains("there is no database in") && refused.contains("--data-dir"), "{refused}");
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    fs::write(home.path().join(DATABASE), "").unwrap();
    check(&config(home.path(), &[])).unwrap();
    check(&on_postgres(&home.path().join("none"))).unwrap();
}

#[test]
fn what_others_could_look_into_is_closed_or_refused() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("a/b");
    prepare(&config(&directory, &[])).unwrap();
    assert_eq!((mode(&directory), mode(&home.path().join("a"))), (0o700, 0o700));
    for open in [0o755, 0o750, 0o777, 0o701] {
        set_mode(&directory, open);
        prepare(&config(&directory, &[])).unwrap();
        assert_eq!(mode(&directory), 0o700, "{open:o}");
    }
    // Not what a data directory looks like: closing it could be anybody's trouble.
    fs::write(directory.join("holiday.jpg"), "").unwrap();
    set_mode(&directory, 0o755);
    let refused = prepare(&config(&directory, &[])).unwrap_err().to_string();
    assert!(refused.contains("open to others") && refused.contains("755"), "{refused}");
    assert_eq!(mode(&directory), 0o755);
    fs::write(directory.join(LOCK), "").unwrap();
    prepare(&config(&directory, &[])).unwrap();
    assert_eq!(mode(&directory), 0o700);

    let shared = home.path().join("shared");
    fs::create_dir(&shared).unwrap();
    set_mode(&shared, 0o1777);
    let refused = prepare(&config(&shared, &[])).unwrap_err().to_string();
    assert!(refused.contains("open to others"), "{refused}");
}

#[test]
fn a_directory_whose_server_uses_postgres_says_so() {
    let home = tempfile::tempdir().unwrap();
    mark(&on_postgres(home.path())).unwrap();
    mark(&on_postgres(home.path())).unwrap();
    let marker = home.path().join(MARKER);
    assert_eq!(fs::read_to_string(&marker).unwrap(), "postgres://db.example:5432/chat\n");
    assert_eq!((mode(&marker), fs::read_dir(home.path()).unwrap().count()), (0o600, 1));
    let sqlite = config(home.path(), &[]);
    for refused in [check(&sqlite), prepare(&sqlite)] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("postgres://db.example:5432/chat") && refused.contains("DATABASE_URL"), "{refused}");
    }
    check(&on_postgres(home.path())).unwrap();
    prepare(&on_postgres(home.path())).unwrap();
    fs::remove_file(marker).unwrap();
    prepare(&sqlite).unwrap();
}

#[test]
fn what_root_makes_is_the_directorys_owners_and_nothing_else() {
    const OTHER: u32 = 64_010;
    let home = tempfile::tempdir().unwrap();
    let (directory, elsewhere) = (home.path().join("data"), home.path().join("passwords"));
    fs::create_dir(&directory).unwrap();
    fs::write(&elsewhere, "").unwrap();
    for name in ["gpt-r1.db", "gpt-r1.db-wal", LOCK, "signing-key.previous", "notes"] {
        fs::write(directory.join(name), "").unwrap();
    }
    symlink(&elsewhere, directory.join(SIGNING_KEY)).unwrap();
    fs::hard_link(&elsewhere, directory.join("gpt-r1.db-shm")).unwrap();
    // Only root may give it away; for anybody else there is nothing to hand over.
    let given = chown(&directory, Some(OTHER), Some(OTHER)).is_ok();
    hand_over(&directory);
    let owner = |path: &Path| fs::symlink_metadata(path).unwrap().uid();
    let wanted = if given { OTHER } else { uid() };
    for name in ["gpt-r1.db", "gpt-r1.db-wal", LOCK, "signing-key.previous"] {
        assert_eq!(owner(&directory.join(name)), wanted, "{name}");
    }
    assert_eq!(owner(&directory.join("notes")), uid(), "not ours");
    assert_eq!((owner(&elsewhere), owner(&directory.join(SIGNING_KEY))), (uid(), uid()), "links are left alone");
}

#[test]
fn users_go_by_their_names() {
    assert_eq!(name_of(0), "root");
    assert_eq!((name_of(4_000_000_001).as_str(), called(4_000_000_001).as_str()), ("4000000001", "user 4000000001"));
}
