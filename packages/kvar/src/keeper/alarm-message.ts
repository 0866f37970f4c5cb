import { basename } from 'node:path'
import type { Platform } from '../platform/platform.ts'
import { runShortCommand } from '../platform/short-command.ts'
import type { AlarmSetting } from '../settings/alarm-url.ts'
import { type AlarmPost, postAlarm } from './alarm-post.ts'
import { mayQuote } from './logging.ts'
import type { KeeperStatus, Safety } from './status.ts'

/** One try of one alarm takes at most so long. */
export const ALARM_TIMEOUT_MS = 10_000

/** What is told, and to whom: the JSON that a webhook gets. Schema 1; docs/MONITORING.md has every field. */
export interface AlarmMessage {
  schema: 1
  event: 'bad' | 'good'
  /** The file's name; its folder is nobody's business. */
  database: string
  host: string
  safety: Safety
  /** The first line of the status, in words. */
  sentence: string
  /** What is wrong, as a word for programs. */
  code: string | null
  time: string
}

export function alarmMessage(
  event: 'bad' | 'good',
  status: KeeperStatus,
  { host, nowMs }: { host: string; nowMs: number },
): AlarmMessage {
  const code = event === 'good' ? null : (status.problem?.code ?? null)
  // It leaves the machine: words that may be SQLite's, about somebody's rows, stay here.
  const sentence =
    status.problem !== null && mayQuote(status.problem.code)
      ? `Something is wrong (${status.problem.code}); kvar status says what.`
      : status.sentence
  const { safety } = status
  const time = new Date(nowMs).toISOString()
  return { schema: 1, event, database: basename(status.database), host, safety, sentence, code, time }
}

/**
 * Delivers a message once.
 *
 * @throws KvarError with the reason in words that hold nothing of the address
 */
export async function deliverAlarm(
  alarm: AlarmSetting,
  message: AlarmMessage,
  platform: Platform,
): Promise<void> {
  if (alarm.kind === 'command') {
    const variables = commandVariables(message)
    await runShortCommand({ path: alarm.path, variables, timeoutMs: ALARM_TIMEOUT_MS })
    return
  }
  const post = alarm.kind === 'ntfy' ? ntfyPost(alarm.url, message) : webhookPost(alarm.url, message)
  await postAlarm(post, platform)
}

function webhookPost(url: string, message: AlarmMessage): AlarmPost {
  const headers = { 'content-type': 'application/json' }
  return { url, headers, body: JSON.stringify(message), timeoutMs: ALARM_TIMEOUT_MS }
}

/** docs.ntfy.sh/publish: the body is the message, the rest are headers. */
function ntfyPost(url: string, message: AlarmMessage): AlarmPost {
  const isBad = message.event === 'bad'
  const headers = {
    'content-type': 'text/plain; charset=utf-8',
    title: headerText(titleOf(message)),
    priority: isBad ? 'high' : 'default',
    tags: isBad ? 'warning' : 'white_check_mark',
  }
  return { url, headers, body: message.sentence, timeoutMs: ALARM_TIMEOUT_MS }
}

function titleOf({ event, safety, database, host }: AlarmMessage): string {
  const state = event === 'good' ? 'is well again' : safety === 'late' ? 'is late' : 'is not safe'
  return `${database} on ${host} ${state}`
}

/** A header is ASCII; other letters travel as RFC 2047 has it, which ntfy reads. */
function headerText(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text
  return `=?UTF-8?B?${Buffer.from(text).toString('base64')}?=`
}

function commandVariables(message: AlarmMessage): Record<string, string> {
  const entries = Object.entries(message).filter(([name]) => name !== 'schema')
  return Object.fromEntries(
    entries.map(([name, value]) => [`KVAR_ALARM_${name.toUpperCase()}`, String(value ?? '')]),
  )
}
