//! Sessions: found while live, rotated once per token, ended by their owner.

use anyhow::Context;
use r1_domain::{
    access::Access,
    id::{GenerationId, SessionId, UserId},
    session::{NewSession, Rotation, Session, SessionKind},
    store::StoreError,
};

use super::{SharedStore, at, begin, eight_at_once, new_turn, user};

async fn sign_in(store: &SharedStore, user_id: UserId, kind: SessionKind, hash: u8) -> anyhow::Result<SessionId> {
    let id = SessionId::new(at(0));
    let token_hash = [hash; 32];
    store.session_create(NewSession { id, user_id, kind, token_hash, created_at: at(0), expires_at: at(100) }).await?;
    Ok(id)
}

/// By id and by secret, with its user.
pub async fn a_session_is_found_until_it_ends(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let id = sign_in(&store, owner, SessionKind::Cookie, 1).await?;
    let other = sign_in(&store, owner, SessionKind::Cookie, 2).await?;
    let user = store.user_by_login("demo").await?.context("the account")?.user;
    let expected = Session { id, user, expires_at: at(100) };
    assert_eq!(store.session_get(id, at(1)).await?, Some(expected.clone()));
    assert_eq!(store.session_by_cookie([1; 32], at(1)).await?, Some(expected));
    assert_eq!(store.session_by_cookie([9; 32], at(1)).await?, None);

    store.session_end(owner, id, at(2)).await?;
    assert_eq!(store.session_get(id, at(3)).await?, None);
    assert_eq!(store.session_by_cookie([1; 32], at(3)).await?, None);
    assert!(store.session_get(other, at(3)).await?.is_some(), "another sign-in goes on");
    store.session_end(owner, id, at(4)).await?;
    store.session_end(owner, SessionId::new(at(5)), at(5)).await?;
    Ok(())
}

/// The instant itself is too late.
pub async fn a_session_is_found_until_it_expires(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let id = sign_in(&store, owner, SessionKind::Bearer, 1).await?;
    assert!(store.session_get(id, at(99)).await?.is_some());
    assert_eq!(store.session_get(id, at(100)).await?, None);
    let late = store.session_rotate([1; 32], [2; 32], at(300), at(100)).await?;
    assert_eq!(late, Rotation::Unknown);
    Ok(())
}

/// And the other way round; two sessions can't have one secret.
pub async fn a_cookie_is_no_refresh_token(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let cookie = sign_in(&store, owner, SessionKind::Cookie, 1).await?;
    sign_in(&store, owner, SessionKind::Bearer, 2).await?;
    assert_eq!(store.session_rotate([1; 32], [3; 32], at(200), at(1)).await?, Rotation::Unknown);
    assert!(store.session_get(cookie, at(1)).await?.is_some());
    assert_eq!(store.session_by_cookie([2; 32], at(1)).await?, None);
    let twice = NewSession {
        id: SessionId::new(at(0)),
        user_id: owner,
        kind: SessionKind::Cookie,
        token_hash: [1; 32],
        created_at: at(0),
        expires_at: at(9),
    };
    let refused = store.session_create(twice).await;
    assert!(matches!(refused, Err(StoreError::Taken { .. })), "{refused:?}");
    Ok(())
}

/// Rotation moves the session on; the replaced token's second use ends it for all.
pub async fn a_refresh_token_works_once(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let id = sign_in(&store, owner, SessionKind::Bearer, 1).await?;
    let rotated = store.session_rotate([1; 32], [2; 32], at(200), at(1)).await?;
    let expected = store.session_get(id, at(150)).await?.context("lives longer now")?;
    assert_eq!(expected.expires_at, at(200));
    assert_eq!(rotated, Rotation::Rotated(expected));

    assert_eq!(store.session_rotate([1; 32], [3; 32], at(300), at(2)).await?, Rotation::Reused(id));
    assert_eq!(store.session_get(id, at(3)).await?, None);
    assert_eq!(store.session_rotate([2; 32], [4; 32], at(300), at(3)).await?, Rotation::Unknown, "ended");
    assert_eq!(store.session_rotate([1; 32], [4; 32], at(300), at(3)).await?, Rotation::Unknown, "ended");
    assert_eq!(store.session_rotate([8; 32], [9; 32], at(300), at(3)).await?, Rotation::Unknown);
    Ok(())
}

/// Not only the last one before.
pub async fn any_earlier_refresh_token_ends_the_session(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let id = sign_in(&store, owner, SessionKind::Bearer, 1).await?;
    for step in 1..5 {
        let rotated = store.session_rotate([step; 32], [step + 1; 32], at(200), at(1)).await?;
        assert!(matches!(rotated, Rotation::Rotated(_)), "{rotated:?}");
    }
    assert_eq!(store.session_rotate([2; 32], [9; 32], at(200), at(2)).await?, Rotation::Reused(id));
    assert_eq!(store.session_get(id, at(3)).await?, None);
    Ok(())
}

/// Another user's word changes nothing and tells nothing.
pub async fn only_its_owner_ends_a_session(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let stranger = user(&store, "stranger").await?;
    let id = sign_in(&store, owner, SessionKind::Cookie, 1).await?;
    store.session_end(stranger, id, at(1)).await?;
    assert!(store.session_get(id, at(2)).await?.is_some());
    Ok(())
}

/// What others follow by it goes on.
pub async fn access_is_lost_with_what_it_rests_on(store: SharedStore) -> anyhow::Result<()> {
    let (owner, other) = (user(&store, "demo").await?, user(&store, "other").await?);
    let sessions = vec![
        sign_in(&store, owner, SessionKind::Cookie, 1).await?,
        sign_in(&store, owner, SessionKind::Bearer, 2).await?,
        sign_in(&store, other, SessionKind::Bearer, 3).await?,
    ];
    let turns = [new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2))];
    for turn in &turns {
        begin(&store, turn).await?;
    }
    let generations = turns.iter().map(|turn| turn.generation_id).collect();
    let all = Access { sessions: sessions.clone(), users: vec![owner, other], generations };
    assert_eq!(store.access_lost(&Access::default()).await?, Access::default());
    assert_eq!(store.access_lost(&all).await?, Access::default());

    store.session_end(owner, sessions[0], at(3)).await?;
    store.conversation_delete(owner, turns[1].conversation_id, at(3)).await?;
    let gone = vec![turns[1].generation_id];
    let lost = Access { sessions: vec![sessions[0]], users: vec![], generations: gone.clone() };
    assert_eq!(store.access_lost(&all).await?, lost);

    store.user_set_disabled("other", true, at(4)).await?;
    let lost = Access { sessions: vec![sessions[0], sessions[2]], users: vec![other], generations: gone };
    let found = store.access_lost(&all).await?;
    let sorted = |mut ids: Vec<SessionId>| {
        ids.sort_unstable();
        ids
    };
    assert_eq!(sorted(found.sessions.clone()), sorted(lost.sessions.clone()));
    assert_eq!((found.users, found.generations), (lost.users, lost.generations));

    // Enabled again, the account may be used, its sessions of before may not. What was never there is gone.
    store.user_set_disabled("other", false, at(5)).await?;
    let (nobody, nothing) = (UserId::new(at(6)), GenerationId::new(at(6)));
    let asked = Access { sessions: vec![sessions[2]], users: vec![other, nobody], generations: vec![nothing] };
    let lost = Access { sessions: vec![sessions[2]], users: vec![nobody], generations: vec![nothing] };
    assert_eq!(store.access_lost(&asked).await?, lost);
    Ok(())
}

/// Whoever comes second with the same token is a thief, however little later.
pub async fn of_many_that_rotate_one_token_one_does(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let id = sign_in(&store, owner, SessionKind::Bearer, 1).await?;
    let rotations = eight_at_once(&store, |store, number| async move {
        store.session_rotate([1; 32], [10 + number; 32], at(200), at(1)).await
    })
    .await?;
    let rotations: Vec<Rotation> = rotations.into_iter().collect::<Result<_, _>>()?;
    let count = |wanted: fn(&Rotation) -> bool| rotations.iter().filter(|rotation| wanted(rotation)).count();
    assert_eq!(count(|rotation| matches!(rotation, Rotation::Rotated(_))), 1, "{rotations:?}");
    assert_eq!(rotations.iter().filter(|rotation| **rotation == Rotation::Reused(id)).count(), 1, "{rotations:?}");
    assert_eq!(count(|rotation| *rotation == Rotation::Unknown), 6, "it has ended by then: {rotations:?}");
    assert_eq!(store.session_get(id, at(2)).await?, None);
    Ok(())
}
