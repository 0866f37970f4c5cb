import type { Bilingual, SafetyAnswer } from '../shared/event-types.ts'

/** What a person is told whose change is held away from the server. */
export function savedWords(safety: SafetyAnswer | undefined, removed: boolean): Bilingual {
  const done = removed ? { sv: 'Borttaget.', en: 'Deleted.' } : undefined
  const saved = placeWords(safety)
  return done === undefined ? saved : { sv: `${done.sv} ${saved.sv}`, en: `${done.en} ${saved.en}` }
}

export const WAITING_WORDS: Bilingual = {
  sv: 'Väntar på lagring. Ändringen är gjord och sparas så snart det går.',
  en: 'Waiting for storage. The change is made and will be saved as soon as possible.',
}

function placeWords(safety: SafetyAnswer | undefined): Bilingual {
  if (safety?.safety === 'only-here') {
    return { sv: 'Sparat, men bara på den här datorn.', en: 'Saved, but only on this machine.' }
  }
  const count = safety?.places.filter((place) => place.saved && place.elsewhere).length ?? 0
  if (count === 0) return { sv: 'Sparat.', en: 'Saved.' }
  return {
    sv: `Sparat på ${count} ${count === 1 ? 'ställe' : 'ställen'}.`,
    en: `Saved in ${count} ${count === 1 ? 'place' : 'places'}.`,
  }
}
