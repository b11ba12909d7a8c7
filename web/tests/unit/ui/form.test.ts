import { describe, expect, it } from 'vitest';
import { faultsOf } from '$/features/auth/form';
import { returnPath, signInPath } from '$/features/auth/way_back';

const filled = {
  username: 'mara_lind',
  email: 'mara@example.com',
  password: 'river-stone-8',
  setup_code: '',
};

describe('faultsOf', () => {
  it('finds nothing wrong with a good form', () => {
    expect(faultsOf('login', filled).size).toBe(0);
    expect(faultsOf('register', filled).size).toBe(0);
  });

  it('asks only for what is missing when signing in: an old, short password is the owner’s business', () => {
    expect(faultsOf('login', { ...filled, username: 'mara@example.com', password: 'x' }).size).toBe(0);
    expect([...faultsOf('login', { ...filled, username: ' ', password: '' }).keys()]).toEqual([
      'username',
      'password',
    ]);
  });

  it('knows the server’s rules for a new account', () => {
    const faults = faultsOf('register', { ...filled, username: 'ma', email: 'mara', password: '1234567' });
    expect([...faults.keys()]).toEqual(['username', 'email', 'password']);
    expect(faultsOf('register', { ...filled, username: 'a b c' }).has('username')).toBe(true);
    expect(faultsOf('register', { ...filled, username: 'x'.repeat(65) }).has('username')).toBe(true);
    // Characters, not UTF-16 units: eight of them are enough.
    expect(faultsOf('register', { ...filled, password: '🌊'.repeat(7) }).has('password')).toBe(true);
    expect(faultsOf('register', { ...filled, password: '🌊'.repeat(8) }).has('password')).toBe(false);
  });

  it.each([
    'José',
    'Nguye\u0302\u0303n',
    'अनुष्का',
    'สมชาย์ดี',
    'דָּנִיֵּאל',
    'مُحَمَّد',
    '小林さん',
    'Ａｄａ',
    '\u1112\u1161\u11ab\u1100\u1173\u11af수',
  ])('takes the name %s', (username) => {
    expect(faultsOf('register', { ...filled, username }).size).toBe(0);
  });

  it.each(['a@b', 'a b c', 'ab\u200dc', 'ab!', '½ab', '👍👍👍', '\u3164'])(
    'refuses the name %j',
    (username) => {
      expect(faultsOf('register', { ...filled, username }).has('username')).toBe(true);
    },
  );

  it('counts a password as it is hashed', () => {
    const has = (password: string) => faultsOf('register', { ...filled, password }).has('password');
    expect([has('e\u0301'.repeat(7)), has('e\u0301'.repeat(8))]).toEqual([true, false]);
    expect([has('🌊'.repeat(256)), has('🌊'.repeat(257))]).toEqual([false, true]);
    expect(has('e\u0301'.repeat(256))).toBe(false);
  });
});

describe('the way back after signing in', () => {
  it('survives the round trip', () => {
    const path = '/c/01a20499-3183-7fc4-bf04-e0b1e0b2ae72';
    expect(returnPath(new URL(signInPath(path), 'http://x').search)).toBe(path);
    expect(signInPath('/')).toBe('/login');
  });

  it.each([
    '//evil.example/c/1',
    '/\\evil.example',
    'https://evil.example/',
    'javascript:alert(1)',
    'c/1',
    '/login?return=/login',
    '/register',
    '',
  ])('leads nowhere but to this page: %s', (wanted) => {
    expect(returnPath(`?return=${encodeURIComponent(wanted)}`)).toBe('/');
  });
});
