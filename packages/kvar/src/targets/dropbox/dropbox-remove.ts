import { type Clock, sleep } from '../../platform/clock.ts'
import { asObjects, asText, type JsonObject } from '../http/json.ts'
import { TargetError, throwIfCancelled } from '../target.ts'
import { isMissing } from './dropbox-list.ts'
import { type CallOptions, type DropboxRequests, tagsOf } from './dropbox-requests.ts'

/** Dropbox takes 1000 (HTTP documentation, "files/delete_batch"); half of them are done well within a deadline. */
const BATCH_LIMIT = 500
const FIRST_LOOK_MS = 100
const LONGEST_LOOK_MS = 2000
const LOOKS_LIMIT = 100

/** Removes files by their paths; those that are not there are fine. */
export async function removeFiles(
  requests: DropboxRequests,
  paths: string[],
  options: { clock: Clock; signal: AbortSignal | undefined },
): Promise<void> {
  for (let start = 0; start < paths.length; start += BATCH_LIMIT) {
    const some = paths.slice(start, start + BATCH_LIMIT)
    const call = {
      signal: options.signal,
      doing: `remove ${some.length === 1 ? `"${some[0]}"` : `${some.length} objects`}`,
    }
    if (some.length === 1) await removeOne(requests, some[0] as string, call)
    else await removeBatch(requests, some, { ...call, clock: options.clock })
  }
}

async function removeOne(requests: DropboxRequests, path: string, call: CallOptions): Promise<void> {
  const answer = await requests.call('files/delete_v2', { path }, call)
  if (answer.status >= 300 && !isMissing(answer.tags)) throw requests.failure(answer, call.doing)
}

/** A batch is a job of Dropbox's that is looked after until it is done. */
async function removeBatch(
  requests: DropboxRequests,
  paths: string[],
  call: CallOptions & { clock: Clock },
): Promise<void> {
  let answer = await requests.call('files/delete_batch', { entries: paths.map((path) => ({ path })) }, call)
  const jobId = asText(answer.json.async_job_id)
  for (let looks = 0; ; looks++) {
    if (answer.status >= 300) throw requests.failure(answer, call.doing)
    const tag = answer.json['.tag']
    if (tag === 'complete') return assertRemoved(requests, answer.json, call.doing)
    if (tag === 'failed')
      throw requests.failure({ status: 409, headers: {}, tags: tagsOf(answer.json) }, call.doing)
    if (jobId === undefined || looks === LOOKS_LIMIT) throw unfinished(requests.settings.url, call.doing)
    await sleep(call.clock, Math.min(FIRST_LOOK_MS * 2 ** looks, LONGEST_LOOK_MS), call.signal)
    throwIfCancelled(call.signal)
    answer = await requests.call('files/delete_batch/check', { async_job_id: jobId }, call)
  }
}

function assertRemoved(requests: DropboxRequests, result: JsonObject, doing: string): void {
  for (const entry of asObjects(result.entries)) {
    const tags = entry['.tag'] === 'failure' ? tagsOf(entry.failure) : undefined
    if (tags !== undefined && !isMissing(tags))
      throw requests.failure({ status: 409, headers: {}, tags }, doing)
  }
}

function unfinished(url: string, doing: string): TargetError {
  return new TargetError('temporary', `Cannot ${doing} on ${url}: Dropbox does not come to an end with it`, {
    hint: 'nothing is lost; it is tried again',
    data: { url },
  })
}
