import type { ContentfulStatusCode } from 'hono/utils/http-status'
import type { Bilingual, ErrorAnswer, EventFields } from '../shared/event-types.ts'

/** Every way in which the calendar says no. Programs read the code, people the sentence. */
export type ApiErrorCode =
  | 'required'
  | 'not_text'
  | 'empty'
  | 'too_long'
  | 'date_invalid'
  | 'time_invalid'
  | 'duration_invalid'
  | 'weekday_invalid'
  | 'until_before_date'
  | 'reminder_invalid'
  | 'unknown_field'
  | 'not_object'
  | 'malformed_json'
  | 'body_too_large'
  | 'range_incomplete'
  | 'range_invalid'
  | 'range_too_long'
  | 'not_found'
  | 'other_site'
  | 'database_busy'
  | 'internal'

/** A refusal with its HTTP status. */
export class ApiError extends Error {
  readonly code: ApiErrorCode
  readonly field: string | null

  constructor(code: ApiErrorCode, field: string | null = null) {
    super(code)
    this.name = 'ApiError'
    this.code = code
    this.field = field
  }

  get status(): ContentfulStatusCode {
    return STATUS[this.code] ?? 400
  }

  toAnswer(): ErrorAnswer {
    const name = fieldName(this.field)
    const message = SENTENCES[this.code]
    return {
      error: {
        code: this.code,
        field: this.field,
        message: { sv: message.sv.replace('{field}', name.sv), en: message.en.replace('{field}', name.en) },
      },
    }
  }
}

const STATUS: Partial<Record<ApiErrorCode, ContentfulStatusCode>> = {
  not_found: 404,
  other_site: 403,
  body_too_large: 413,
  database_busy: 503,
  internal: 500,
}

const FIELD_NAMES: Record<keyof EventFields | 'from' | 'to', Bilingual> = {
  user: { sv: 'Person', en: 'Person' },
  date: { sv: 'Datum', en: 'Date' },
  time: { sv: 'Tid', en: 'Time' },
  duration: { sv: 'Längd', en: 'Duration' },
  title: { sv: 'Titel', en: 'Title' },
  description: { sv: 'Beskrivning', en: 'Description' },
  reminder: { sv: 'Påminnelse', en: 'Reminder' },
  repeat_pattern: { sv: 'Upprepning', en: 'Repeat' },
  repeat_until: { sv: 'Upprepas till', en: 'Repeat until' },
  from: { sv: 'Från', en: 'From' },
  to: { sv: 'Till', en: 'To' },
}

function fieldName(field: string | null): Bilingual {
  const known = field === null ? undefined : FIELD_NAMES[field as keyof typeof FIELD_NAMES]
  return known ?? { sv: field ?? '', en: field ?? '' }
}

const SENTENCES: Record<ApiErrorCode, Bilingual> = {
  required: { sv: '{field} saknas.', en: '{field} is missing.' },
  not_text: { sv: '{field} ska vara text.', en: '{field} must be text.' },
  empty: { sv: '{field} får inte vara tomt.', en: '{field} must not be empty.' },
  too_long: { sv: '{field} är för långt.', en: '{field} is too long.' },
  date_invalid: {
    sv: '{field} ska vara ett riktigt datum, som 2026-03-25.',
    en: '{field} must be a real date, such as 2026-03-25.',
  },
  time_invalid: {
    sv: '{field} ska vara ett klockslag, som 16:30.',
    en: '{field} must be a time of day, such as 16:30.',
  },
  duration_invalid: {
    sv: '{field} ska vara timmar, mer än 0 och högst 168.',
    en: '{field} must be hours, more than 0 and at most 168.',
  },
  weekday_invalid: {
    sv: '{field} ska vara mån, tis, ons, tor, fre, lör eller sön.',
    en: '{field} must be mån, tis, ons, tor, fre, lör or sön (Monday to Sunday).',
  },
  until_before_date: {
    sv: '{field} kan inte vara före händelsens datum.',
    en: '{field} cannot be before the date of the event.',
  },
  reminder_invalid: {
    sv: '{field} ska vara ja, nej eller ett helt antal minuter, högst en vecka.',
    en: '{field} must be yes, no or a whole number of minutes, at most a week.',
  },
  unknown_field: { sv: 'Fältet ”{field}” finns inte.', en: 'There is no field "{field}".' },
  not_object: {
    sv: 'En händelse ska skickas som ett JSON-objekt.',
    en: 'An event must be sent as a JSON object.',
  },
  malformed_json: { sv: 'Det som skickades är inte giltig JSON.', en: 'What was sent is not valid JSON.' },
  body_too_large: {
    sv: 'Det som skickades är för stort (högst 64 kB).',
    en: 'What was sent is too large (at most 64 KB).',
  },
  range_incomplete: {
    sv: 'Ange både från och till, eller inget av dem.',
    en: 'Give both from and to, or neither.',
  },
  range_invalid: { sv: 'Till kan inte vara före från.', en: 'To cannot be before from.' },
  range_too_long: { sv: 'Högst tio år kan visas på en gång.', en: 'At most ten years can be shown at once.' },
  not_found: { sv: 'Det finns inte, eller har tagits bort.', en: 'It does not exist, or was deleted.' },
  other_site: {
    sv: 'Ändringar tas bara emot från kalenderns egen sida.',
    en: "Changes are only accepted from the calendar's own page.",
  },
  database_busy: {
    sv: 'Kalendern är upptagen. Inget har ändrats, försök igen om en stund.',
    en: 'The calendar is busy. Nothing was changed, try again in a moment.',
  },
  internal: {
    sv: 'Något gick fel på servern. Försök igen om en stund.',
    en: 'Something went wrong on the server. Try again in a moment.',
  },
}
