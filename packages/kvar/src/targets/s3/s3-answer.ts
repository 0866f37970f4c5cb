import { readText } from '../http/http-caller.ts'
import { childText, parseXml } from '../http/xml.ts'
import { type S3Answer, type S3Requests, wordOrNothing } from './s3-requests.ts'

/**
 * Reads an answer that began well to its end. Some operations say 200 at once, to keep the connection
 * alive, and tell in the body whether they succeeded; such an error becomes the answer.
 */
export async function readWhole(answer: S3Answer, requests: S3Requests): Promise<S3Answer> {
  const { url } = requests.settings
  const text = await readText(answer, url)
  const result = parseXml(text, url)
  if (result.name !== 'Error') return answer
  const code = wordOrNothing(childText(result, 'Code'))
  return { ...answer, status: code === 'PreconditionFailed' ? 412 : 500, code }
}
