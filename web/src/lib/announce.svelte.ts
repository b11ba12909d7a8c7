class Announcement {
  text = $state('');
  /** Changes with every announcement, so that the same words said twice are read out twice. */
  number = $state(0);
}

/** What the polite status region says. Only announcements go there, never a stream of words. */
export const announcement = new Announcement();

/** Has a screen reader say something when it is next idle. */
export function announce(text: string): void {
  announcement.text = text;
  announcement.number += 1;
}
