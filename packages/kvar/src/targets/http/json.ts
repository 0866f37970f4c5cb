import type { HttpAnswer } from '../../platform/http-client.ts'
import { TargetError } from '../target.ts'
import { readText } from './http-caller.ts'

/** Any JSON object: what an answer really holds is looked at field by field. */
export type JsonObject = Record<string, unknown>

/**
 * Reads an answer that should be a JSON object.
 *
 * @throws TargetError `temporary` for anything else: proxies and hotel networks answer with pages of HTML
 */
export async function readJson(answer: HttpAnswer, url: string): Promise<JsonObject> {
  const found = parseObject(await readText(answer, url))
  if (found !== undefined) return found
  throw new TargetError('temporary', `${url} answered something that is no JSON`, {
    hint: 'is there a proxy between? It is tried again',
    data: { url },
  })
}

/** The JSON object in a text, or undefined. */
export function parseObject(text: string): JsonObject | undefined {
  try {
    return asObject(JSON.parse(text))
  } catch {
    return undefined
  }
}

export function asObject(value: unknown): JsonObject | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : undefined
}

export function asObjects(value: unknown): JsonObject[] {
  const found = Array.isArray(value) ? value.map(asObject) : []
  return found.filter((one) => one !== undefined)
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** A provider's own word for what went wrong. Only short words: sentences may repeat credentials. */
export function asWord(value: unknown): string | undefined {
  return typeof value === 'string' && /^[A-Za-z0-9_.-]{1,60}$/.test(value) ? value : undefined
}
