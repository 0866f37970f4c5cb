import { basename, resolve } from 'node:path'
import { KvarError } from '../errors.ts'
import type { Found } from './setting-lookup.ts'
import { type SettingSource, settingInvalid } from './setting-source.ts'

/**
 * Whom to tell. Plain JSON: it travels over the keeper's socket, and only there. Whoever knows the URL
 * of a webhook or the name of an ntfy topic may write to it, so the URL as a whole is a secret; `label`
 * may be shown to anybody.
 */
export type AlarmSetting =
  | { kind: 'webhook' | 'ntfy'; label: string; url: string }
  | { kind: 'command'; label: string; path: string }

const ALARMS_LIMIT = 8
const LENGTH_LIMIT = 2048
const PATTERN = /^(webhook|ntfy|command):(.+)$/s
const HINT =
  'write webhook:https://… , ntfy:https://…/TOPIC or command:PATH, several of them separated by white space'

/**
 * Reads the alarms. Its errors show nothing of what was written.
 *
 * @throws KvarError `SETTING_INVALID`, or `SECRET_EXPOSED` for alarms on a command line
 * @example
 * readAlarms({ value: ['ntfy:https://ntfy.example/our-calendar'], source })[0].label // 'ntfy on ntfy.example'
 */
export function readAlarms(found: Found | undefined): AlarmSetting[] {
  if (found === undefined) return []
  const { value, source } = found
  if (source.kind === 'argument') throw exposed()
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
    throw settingInvalid(source, 'it is no list of alarms', HINT)
  if (value.length > ALARMS_LIMIT)
    throw settingInvalid(source, `it lists more than ${ALARMS_LIMIT} alarms`, HINT)
  return value.map((text, index) => readAlarm(text.trim(), { source, index }))
}

interface Place {
  source: SettingSource
  index: number
}

function readAlarm(text: string, place: Place): AlarmSetting {
  const [, kind, rest] = PATTERN.exec(text) ?? []
  if (kind === undefined || rest === undefined || text.length > LENGTH_LIMIT)
    throw wrong(place, 'does not say what kind of alarm it is')
  if (kind === 'command') return readCommand(rest, place)
  const url = readUrl(rest, place)
  if (kind === 'webhook') return { kind, label: `the webhook on ${url.host}`, url: url.href }
  if (url.pathname === '/') throw wrong(place, 'names no ntfy topic')
  return { kind: 'ntfy', label: `ntfy on ${url.host}`, url: url.href }
}

function readUrl(text: string, place: Place): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url
  throw wrong(place, 'holds no http(s) URL')
}

/** A path and nothing else: what happened stands in the command's environment, so nothing has to be quoted. */
function readCommand(path: string, place: Place): AlarmSetting {
  if (path.includes('\0')) throw wrong(place, 'names a path with a zero byte')
  const absolute = resolve(place.source.baseFolder, path)
  return { kind: 'command', label: `the command "${basename(absolute)}"`, path: absolute }
}

function wrong({ source, index }: Place, sentence: string): KvarError {
  return settingInvalid(source, `alarm ${index + 1} ${sentence}`, HINT)
}

function exposed(): KvarError {
  return new KvarError('SECRET_EXPOSED', 'An alarm on the command line would show its address to everybody', {
    hint: 'put it into the environment variable KVAR_ALARM',
    data: { variable: 'KVAR_ALARM' },
  })
}
