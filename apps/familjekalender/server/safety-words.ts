import type { KeeperStatus } from 'kvar'
import type { Bilingual, SafetyAnswer, SafetyPlace } from '../shared/event-types.ts'

/** What the keeper knows, in a family's words: no name of a file, a protocol or a program. */
export function safetyAnswer(status: KeeperStatus): SafetyAnswer {
  return {
    safety: status.safety,
    sentence: sentence(status),
    advice: advice(status),
    waiting: isWaiting(status),
    savedAt: status.confirmedAt,
    places: places(status),
    restored: status.start?.restored === true ? RESTORED : null,
  }
}

/** When the keeper does not answer: the calendar works, and nobody may be told that it is safe. */
export const SAFETY_UNKNOWN: SafetyAnswer = {
  safety: 'not-safe',
  sentence: {
    sv: 'Just nu vet vi inte om de senaste ändringarna är sparade.',
    en: 'Right now we do not know whether the latest changes are saved.',
  },
  advice: {
    sv: 'Kalendern försöker igen av sig själv.',
    en: 'The calendar tries again by itself.',
  },
  waiting: true,
  savedAt: null,
  places: [],
  restored: null,
}

const RESTORED: Bilingual = {
  sv: 'Servern hade glömt kalendern när den startade. Allt hämtades tillbaka.',
  en: 'The server had forgotten the calendar when it started. Everything was brought back.',
}

function isWaiting(status: KeeperStatus): boolean {
  if (status.state === 'fenced' || status.state === 'stale') return true
  return status.pendingPages > 0 || status.durableVersion < status.version
}

function places(status: KeeperStatus): SafetyPlace[] {
  return status.targets.map((target) => ({
    name: PLACE_NAMES[target.kind] ?? { sv: 'En plats', en: 'A place' },
    saved: target.version >= status.durableVersion && target.version > 0,
    elsewhere: !target.sameDisk,
  }))
}

const PLACE_NAMES: Record<string, Bilingual> = {
  folder: { sv: 'En mapp', en: 'A folder' },
  s3: { sv: 'Molnet', en: 'The cloud' },
  webdav: { sv: 'En nätmapp', en: 'A network folder' },
  sftp: { sv: 'En annan dator', en: 'Another computer' },
  postgres: { sv: 'En databas på nätet', en: 'A database online' },
  dropbox: { sv: 'Dropbox', en: 'Dropbox' },
  'google-drive': { sv: 'Google Drive', en: 'Google Drive' },
}

function sentence(status: KeeperStatus): Bilingual {
  switch (status.safety) {
    case 'safe':
      return allSaved(status)
    case 'late':
      return isWaiting(status) ? WAITING : allSaved(status)
    case 'only-here':
      return ONLY_HERE
    case 'not-safe':
      return status.state === 'fenced' ? FENCED : NOT_SAFE
  }
}

/** "Allt är sparat på 2 ställen", or "på 1 av 2 ställen" while one of them is behind. */
function allSaved(status: KeeperStatus): Bilingual {
  const elsewhere = places(status).filter((place) => place.elsewhere)
  const saved = elsewhere.filter((place) => place.saved).length
  if (saved === elsewhere.length) {
    return {
      sv: `Allt är sparat på ${saved} ${saved === 1 ? 'ställe' : 'ställen'}.`,
      en: `Everything is saved in ${saved} ${saved === 1 ? 'place' : 'places'}.`,
    }
  }
  return {
    sv: `Allt är sparat på ${saved} av ${elsewhere.length} ställen.`,
    en: `Everything is saved in ${saved} of ${elsewhere.length} places.`,
  }
}

const WAITING: Bilingual = {
  sv: 'De senaste ändringarna väntar på lagring.',
  en: 'The latest changes wait for storage.',
}
const ONLY_HERE: Bilingual = {
  sv: 'Kalendern finns bara på den här datorn.',
  en: 'The calendar is only on this machine.',
}
const NOT_SAFE: Bilingual = {
  sv: 'De senaste ändringarna är inte i säkerhet.',
  en: 'The latest changes are not safe.',
}
const FENCED: Bilingual = {
  sv: 'En nyare kopia av kalendern har tagit över.',
  en: 'A newer copy of the calendar has taken over.',
}

function advice(status: KeeperStatus): Bilingual | null {
  switch (status.safety) {
    case 'safe':
      return null
    case 'late':
      return targetAdvice(status) ?? LATE_ADVICE
    case 'only-here':
      return ONLY_HERE_ADVICE
    case 'not-safe':
      if (status.state === 'fenced') return FENCED_ADVICE
      return targetAdvice(status) ?? NOT_SAFE_ADVICE
  }
}

/** What is wrong with a place, said once for the worst of them. */
function targetAdvice(status: KeeperStatus): Bilingual | undefined {
  const codes = [status.problem, ...status.targets.map((target) => target.problem)].map(
    (problem) => problem?.code,
  )
  if (codes.includes('TARGET_FULL')) return FULL_ADVICE
  if (codes.includes('TARGET_DENIED')) return DENIED_ADVICE
  if (codes.includes('TARGET_TEMPORARY') || codes.includes('UNREACHABLE')) return SILENT_ADVICE
  return undefined
}

const LATE_ADVICE: Bilingual = {
  sv: 'De är på väg. Du behöver inte göra något.',
  en: 'They are on their way. You need not do anything.',
}
const SILENT_ADVICE: Bilingual = {
  sv: 'En plats svarar inte. Kalendern försöker igen av sig själv.',
  en: 'A place does not answer. The calendar tries again by itself.',
}
const FULL_ADVICE: Bilingual = {
  sv: 'En plats är full. Be den som sköter servern att göra rum.',
  en: 'A place is full. Ask whoever looks after the server to make room.',
}
const DENIED_ADVICE: Bilingual = {
  sv: 'En plats släpper inte in kalendern. Be den som sköter servern att se efter.',
  en: 'A place does not let the calendar in. Ask whoever looks after the server to have a look.',
}
const ONLY_HERE_ADVICE: Bilingual = {
  sv: 'Be den som sköter servern att lägga till en plats någon annanstans.',
  en: 'Ask whoever looks after the server to add a place somewhere else.',
}
const NOT_SAFE_ADVICE: Bilingual = {
  sv: 'Be den som sköter servern att se efter. Det som redan är sparat försvinner inte.',
  en: 'Ask whoever looks after the server to have a look. What is saved already does not get lost.',
}
const FENCED_ADVICE: Bilingual = {
  sv: 'Ladda om sidan om en liten stund.',
  en: 'Load the page again in a little while.',
}
