//! What is done with accounts: passwords, administrators, what they use, and their deletion.

use anyhow::{Context, ensure};
use r1_domain::{
    accounts::{Activity, Changed, DAY_MICROS, Erased, NewPassword, UsageOfDay},
    event::Usage,
    id::{ConversationId, SessionId, UserId},
    session::{NewSession, SessionKind},
    store::{StoreError, TurnPlace},
    time::Timestamp,
};
use secrecy::ExposeSecret;

use super::{
    ALL, SharedStore, answer, append, at, begin, ending, failing, gone, joined, key, new_turn, new_user, next_turn,
    node, stored, user,
};

fn session(owner: UserId, hash: u8, now: Timestamp) -> NewSession {
    NewSession {
        id: SessionId::new(now),
        user_id: owner,
        kind: SessionKind::Cookie,
        token_hash: [hash; 32],
        created_at: now,
        expires_at: at(10_000),
    }
}

fn password(user: UserId, expected: Option<&str>, hash: &str, kept: Option<SessionId>) -> NewPassword {
    let expected = expected.map(|hash| hash.to_owned().into());
    NewPassword { user, expected, hash: hash.to_owned().into(), kept, now: at(5) }
}

/// The kept one goes on, and another user's.
pub async fn a_new_password_ends_the_other_sessions(store: SharedStore) -> anyhow::Result<()> {
    let (owner, other) = (user(&store, "ada").await?, user(&store, "bob").await?);
    let sessions = [session(owner, 1, at(1)), session(owner, 2, at(2)), session(other, 3, at(3))];
    for session in &sessions {
        store.session_create(session.clone()).await?;
    }
    let [gone, kept, foreign] = sessions.map(|session| session.id);
    let wrong = password(owner, Some("$another"), "$new", None);
    assert_eq!(store.account_set_password(wrong).await?, None);
    let is_live = async |id| anyhow::Ok(store.session_get(id, at(6)).await?.is_some());
    ensure!(is_live(gone).await? && is_live(kept).await?, "a refused change changes nothing");

    let right = password(owner, Some("$argon2id$of-ada"), "$new", Some(kept));
    assert_eq!(store.account_set_password(right).await?, Some(vec![gone]));
    let live = (is_live(gone).await?, is_live(kept).await?, is_live(foreign).await?);
    assert_eq!(live, (false, true, true));
    let found = store.user_by_login("ada").await?.context("the account")?;
    assert_eq!(found.password_hash.expose_secret(), "$new");

    assert_eq!(store.account_set_password(password(owner, None, "$newer", None)).await?, Some(vec![kept]));
    ensure!(!is_live(kept).await? && is_live(foreign).await?);
    let unknown = store.account_set_password(password(UserId::new(at(9)), None, "$x", None)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");
    Ok(())
}

/// All of one user's, once.
pub async fn a_sign_out_ends_all_sessions_of_one(store: SharedStore) -> anyhow::Result<()> {
    let (owner, other) = (user(&store, "ada").await?, user(&store, "bob").await?);
    let (mine, foreign) = (session(owner, 1, at(1)), session(other, 2, at(1)));
    store.session_create(mine.clone()).await?;
    store.session_create(foreign.clone()).await?;
    assert_eq!(store.account_end_sessions(owner, at(2)).await?, [mine.id]);
    assert_eq!(store.account_end_sessions(owner, at(3)).await?, []);
    assert!(store.session_get(mine.id, at(4)).await?.is_none());
    assert!(store.session_get(foreign.id, at(4)).await?.is_some());
    let unknown = store.account_end_sessions(UserId::new(at(9)), at(2)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");
    Ok(())
}

/// A disabled administrator can't sign in, so does not count.
pub async fn the_last_administrator_stays_one(store: SharedStore) -> anyhow::Result<()> {
    let (ada, bob) = (user(&store, "ada").await?, user(&store, "bob").await?);
    assert!(store.setup_code_set([1; 32]).await?);
    let Changed::Done(made) = store.account_set_admin(ada, true, false).await? else { anyhow::bail!("refused") };
    assert!(made.is_admin && made.id == ada);
    let refused = store.user_create(new_user("late"), Some([1; 32])).await;
    assert!(matches!(refused, Err(StoreError::SetupCode)), "the code is used up: {refused:?}");

    assert_eq!(store.account_set_admin(ada, false, false).await?, Changed::LastAdministrator);
    assert_eq!(store.account_delete(ada, false, at(1)).await?, Changed::LastAdministrator);
    assert!(matches!(store.account_set_admin(bob, true, false).await?, Changed::Done(_)));
    store.user_set_disabled("bob", true, at(2)).await?;
    assert_eq!(store.account_set_admin(ada, false, false).await?, Changed::LastAdministrator);
    store.user_set_disabled("bob", false, at(3)).await?;
    let Changed::Done(plain) = store.account_set_admin(ada, false, false).await? else { anyhow::bail!("refused") };
    assert!(!plain.is_admin);
    assert_eq!(store.account_set_admin(bob, false, false).await?, Changed::LastAdministrator);
    let Changed::Done(plain) = store.account_set_admin(bob, false, true).await? else { anyhow::bail!("refused") };
    assert!(!plain.is_admin);
    assert!(store.setup_code_set([2; 32]).await?, "there is none any more");
    let unknown = store.account_set_admin(UserId::new(at(9)), true, false).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");
    Ok(())
}

/// Of one account, whatever others have.
pub async fn what_an_account_has_is_counted(store: SharedStore) -> anyhow::Result<()> {
    let (owner, other) = (user(&store, "ada").await?, user(&store, "bob").await?);
    assert_eq!(store.account_activity(owner, at(0)).await?, Activity::default());
    store.session_create(session(owner, 1, at(2))).await?;
    store.session_create(session(owner, 2, at(4))).await?;
    store.session_create(session(other, 3, at(6))).await?;
    joined(&store, node()).await?;
    let (first, second) = (new_turn(owner, "One", at(10)), new_turn(owner, "Two", at(11)));
    begin(&store, &first).await?;
    begin(&store, &second).await?;
    begin(&store, &new_turn(other, "Another's", at(12))).await?;
    answer(&store, &first, "a", at(13)).await?;
    let activity = store.account_activity(owner, at(14)).await?;
    let wanted =
        Activity { last_sign_in: Some(at(4)), deleting: false, sessions: 2, conversations: 2, messages: 4, running: 1 };
    assert_eq!(activity, wanted);
    store.conversation_delete(owner, first.conversation_id, at(15)).await?;
    store.account_end_sessions(owner, at(16)).await?;
    // Their rows are removed, and the last sign-in is still known.
    while store.purge(at(0), at(0), at(9_000), 100).await? > 0 {}
    let activity = store.account_activity(owner, at(17)).await?;
    assert_eq!(activity, Activity { sessions: 0, conversations: 1, messages: 2, ..wanted });
    let unknown = store.account_activity(UserId::new(at(9)), at(0)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");
    Ok(())
}

/// By day, account and model; what is deleted still counts, and what nobody counted is told apart.
pub async fn usage_is_by_day_and_model_and_outlives_its_conversation(store: SharedStore) -> anyhow::Result<()> {
    let (ada, bob) = (user(&store, "ada").await?, user(&store, "bob").await?);
    joined(&store, node()).await?;
    let day = at(0).as_micros() / DAY_MICROS;
    let counted = async |owner, model: &str, now: Timestamp, usage: Option<Usage>| {
        let mut turn = new_turn(owner, "Q", now);
        turn.request.model = model.to_owned();
        begin(&store, &turn).await?;
        let mut end = ending(&turn, 2, "", 2, &[], now);
        end.terminal.as_mut().context("an end")?.usage = usage;
        stored(&store, vec![end]).await?;
        anyhow::Ok(turn)
    };
    let usage = |prompt_tokens, completion_tokens, estimated| {
        let total_tokens = prompt_tokens + completion_tokens;
        Some(Usage { prompt_tokens, completion_tokens, total_tokens, estimated })
    };
    let deleted = counted(ada, "a/x", at(1), usage(10, 1, false)).await?;
    counted(ada, "a/x", at(2), usage(20, 2, true)).await?;
    counted(ada, "a/x", at(3), None).await?;
    counted(ada, "b/y", at(4), usage(5, 5, false)).await?;
    counted(bob, "a/x", at(5), usage(7, 7, false)).await?;
    counted(ada, "a/x", at(86_400 + 1), usage(100, 10, false)).await?;
    let failed = new_turn(bob, "Q", at(86_400 + 2));
    begin(&store, &failed).await?;
    stored(&store, vec![failing(&failed, 2, "", 2, &[], at(86_400 + 3))]).await?;
    begin(&store, &new_turn(bob, "Still running", at(86_400 + 4))).await?;

    let line = |user, day, model: &str, answers, estimated, uncounted, prompt_tokens, completion_tokens| UsageOfDay {
        user,
        day,
        model: model.to_owned(),
        answers,
        estimated,
        uncounted,
        prompt_tokens,
        completion_tokens,
    };
    let of_ada = [
        line(ada, day, "a/x", 3, 1, 1, 30, 3),
        line(ada, day, "b/y", 1, 0, 0, 5, 5),
        line(ada, day + 1, "a/x", 1, 0, 0, 100, 10),
    ];
    assert_eq!(store.account_usage(Some(ada), at(0)).await?, of_ada);
    assert_eq!(store.account_usage(Some(ada), at(86_400)).await?, of_ada[2..]);
    let of_bob = [line(bob, day, "a/x", 1, 0, 0, 7, 7), line(bob, day + 1, "local/tiny", 1, 0, 1, 0, 0)];
    assert_eq!(store.account_usage(Some(bob), at(0)).await?, of_bob);
    assert_eq!(store.account_usage(None, at(0)).await?.len(), 5);

    store.conversation_delete(ada, deleted.conversation_id, at(20)).await?;
    while store.purge(at(0), at(0), at(0), 1).await? > 0 {}
    let gone = store.generation_get(ada, deleted.generation_id).await;
    assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
    assert_eq!(store.account_usage(Some(ada), at(0)).await?, of_ada);
    let again = counted(ada, "a/x", at(6), usage(1, 1, false)).await?;
    store.conversation_delete(ada, again.conversation_id, at(21)).await?;
    while store.purge(at(0), at(0), at(0), 100).await? > 0 {}
    assert_eq!(store.account_usage(Some(ada), at(0)).await?[0], line(ada, day, "a/x", 4, 1, 1, 31, 4));
    Ok(())
}

/// From its first commit on nobody signs in; what is written ends first; then all of it goes, in slices.
pub async fn a_deleted_account_goes_with_all_that_it_has(store: SharedStore) -> anyhow::Result<()> {
    let (ada, bob) = (user(&store, "ada").await?, user(&store, "bob").await?);
    let node = joined(&store, node()).await?;
    let mine = session(ada, 1, at(1));
    store.session_create(mine.clone()).await?;
    store.session_create(session(bob, 2, at(1))).await?;
    let first = new_turn(ada, "One", at(2));
    begin(&store, &first).await?;
    answer(&store, &first, "a", at(3)).await?;
    let mut second = next_turn(ada, first.conversation_id, None, "Two", at(4));
    second.idempotency = Some(key("k", 1));
    begin(&store, &second).await?;
    answer(&store, &second, "b", at(5)).await?;
    let empty = store.conversation_create(ada, ConversationId::new(at(6)), None, Some(key("c", 1)), at(6)).await?;
    ensure!(empty.is_ok(), "{empty:?}");
    let deleted = new_turn(ada, "Deleted", at(7));
    begin(&store, &deleted).await?;
    answer(&store, &deleted, "c", at(8)).await?;
    store.conversation_delete(ada, deleted.conversation_id, at(9)).await?;
    let running = new_turn(ada, "Running", at(10));
    begin(&store, &running).await?;
    let bobs = new_turn(bob, "Bob's", at(11));
    begin(&store, &bobs).await?;
    answer(&store, &bobs, "stays", at(12)).await?;

    let nothing = store.account_erase(Some(ada), 100).await?;
    assert_eq!(nothing, Erased::Done, "nothing is erased whose deletion has not begun");
    let Changed::Done(disabled) = store.account_delete(ada, false, at(13)).await? else { anyhow::bail!("refused") };
    assert!(disabled.disabled);
    assert!(store.session_get(mine.id, at(14)).await?.is_none());
    assert!(store.account_activity(ada, at(14)).await?.deleting);
    let enabled = store.user_set_disabled("ada", false, at(14)).await;
    assert!(matches!(enabled, Err(StoreError::NotFound)), "it stays disabled: {enabled:?}");
    assert!(matches!(store.account_delete(ada, false, at(15)).await?, Changed::Done(_)), "to begin again is fine");

    let mut slices = 0;
    let waits = loop {
        match store.account_erase(Some(ada), 2).await? {
            Erased::Rows(rows) => ensure!(rows <= 2, "{rows} rows in a slice of 2"),
            other => break other,
        }
        slices += 1;
        ensure!(slices < 100, "it comes to no end");
    };
    assert_eq!(waits, Erased::Waits(1), "an answer is being written");
    assert!(slices > 2, "in slices");
    stored(&store, vec![append(running.generation_id, 1, 2, &["still"])]).await?;
    stored(&store, vec![ending(&running, 3, "still", 2, &super::chunks(&["still"]), at(16))]).await?;
    while store.account_erase(None, 2).await? != Erased::Done {}
    assert!(store.user_by_login("ada").await?.is_none());
    for turn in [&first, &second, &deleted, &running] {
        let gone = store.generation_get(ada, turn.generation_id).await;
        assert!(matches!(gone, Err(StoreError::NotFound)), "{gone:?}");
    }
    assert_eq!(store.idempotency_find(ada, &key("k", 1)).await?, None);
    assert_eq!(store.account_usage(Some(ada), at(0)).await?, []);
    assert_eq!(store.message_get(bob, bobs.answer_id).await?.content, "stays");
    assert_eq!(store.account_activity(bob, at(17)).await?.sessions, 1);
    let unknown = store.account_delete(ada, false, at(18)).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");
    // Whoever was let in before finds no account to make something for.
    let mut late = new_turn(ada, "Late", at(19));
    late.place = TurnPlace::New;
    store.turn_begin(late).await.err().context("a turn of nobody's")?;
    assert_eq!(store.conversation_list(ada, ALL).await?.items, []);
    user(&store, "ada").await.context("the name is free again")?;
    gone(&store, node).await?;
    Ok(())
}
