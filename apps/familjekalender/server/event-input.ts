import * as v from 'valibot'
import { isCalendarDate, WEEKDAYS } from '../shared/calendar-date.ts'
import type { EventFields } from '../shared/event-types.ts'
import { ApiError, type ApiErrorCode } from './api-error.ts'

/**
 * Reads a new event. Person, date, time and title are needed; the rest has the seed's defaults.
 *
 * @throws ApiError naming the first field that is wrong
 */
export function parseNewEvent(body: unknown): EventFields {
  return withRepeatInOrder(parse(NewEvent, body))
}

/**
 * Reads a change: any of the fields. What the event would become is checked as a whole, so that a
 * date cannot pass the end of its own repeat.
 *
 * @throws ApiError naming the first field that is wrong
 */
export function parseChange(body: unknown, current: EventFields): Partial<EventFields> {
  const change = parse(EventChange, body) as Partial<EventFields>
  // An end without a repeat would only come back to surprise somebody later.
  if (change.repeat_pattern === null && change.repeat_until === undefined) change.repeat_until = null
  withRepeatInOrder({ ...current, ...change })
  return change
}

/** The longest of everything, in characters, hours and minutes. */
export const LIMITS = {
  userLength: 60,
  titleLength: 200,
  descriptionLength: 4_000,
  durationHours: 168,
  reminderMinutes: 10_080,
} as const

const code = (name: ApiErrorCode) => name

/** Text that every JSON and SQLite reader gives back unchanged: whole characters, no NUL. */
function text(maxLength: number) {
  return v.pipe(
    v.string(code('not_text')),
    v.check((value) => value.isWellFormed() && !value.includes('\0'), code('not_text')),
    v.maxLength(maxLength, code('too_long')),
  )
}

/** Trimmed, so that "Nils" and "Nils " are one person. */
function name(maxLength: number) {
  return v.pipe(text(maxLength), v.trim(), v.nonEmpty(code('empty')))
}

const date = v.pipe(v.string(code('date_invalid')), v.check(isCalendarDate, code('date_invalid')))
const time = v.pipe(
  v.string(code('time_invalid')),
  v.regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, code('time_invalid')),
)
const duration = v.pipe(
  v.number(code('duration_invalid')),
  v.gtValue(0, code('duration_invalid')),
  v.maxValue(LIMITS.durationHours, code('duration_invalid')),
)
const reminder = v.pipe(
  v.union([v.boolean(), v.number()], code('reminder_invalid')),
  // The seed's column is a BOOLEAN, stored as 0 and 1.
  v.transform(Number),
  v.integer(code('reminder_invalid')),
  v.minValue(0, code('reminder_invalid')),
  v.maxValue(LIMITS.reminderMinutes, code('reminder_invalid')),
)
const fields = {
  user: name(LIMITS.userLength),
  date,
  time,
  duration,
  title: name(LIMITS.titleLength),
  description: v.nullable(text(LIMITS.descriptionLength)),
  reminder,
  repeat_pattern: v.nullable(v.picklist(WEEKDAYS, code('weekday_invalid'))),
  repeat_until: v.nullable(date),
}

/** Valibot reports a missing and a surplus key, and a body that is no object, in the same way. */
function keyProblem(issue: v.StrictObjectIssue): string {
  if (issue.path === undefined) return code('not_object')
  return code(issue.expected === 'never' ? 'unknown_field' : 'required')
}

const NewEvent = v.strictObject(
  {
    ...fields,
    duration: v.optional(fields.duration, 1),
    description: v.optional(fields.description, null),
    reminder: v.optional(fields.reminder, false),
    repeat_pattern: v.optional(fields.repeat_pattern, null),
    repeat_until: v.optional(fields.repeat_until, null),
  },
  keyProblem,
)
const EventChange = v.partial(v.strictObject(fields, keyProblem))

function parse<S extends typeof NewEvent | typeof EventChange>(schema: S, body: unknown): v.InferOutput<S> {
  // To Valibot a list is an object without the right keys.
  if (Array.isArray(body)) throw new ApiError('not_object')
  const result = v.safeParse(schema, body, { abortEarly: true })
  if (result.success) return result.output
  const [issue] = result.issues
  const key = issue.path?.[0].key
  throw new ApiError(issue.message as ApiErrorCode, key === undefined ? null : String(key).slice(0, 60))
}

function withRepeatInOrder(event: EventFields): EventFields {
  if (event.repeat_until !== null && event.repeat_until < event.date)
    throw new ApiError('until_before_date', 'repeat_until')
  return event
}
