import { t } from '$/lib/i18n.svelte';
import type { Phase } from './types';

/** A phase in words, for people. */
export function describePhase(phase: Phase): string {
  return t(`stream.${phase}`);
}
