import { BodyFailure, bodyBytes, bodyPieces, wholeBody } from '../checked-body.ts'
import { discard } from '../http/http-caller.ts'
import { type JsonObject, readJson } from '../http/json.ts'
import { type ObjectBody, TargetError } from '../target.ts'
import { type DriveFile, FILE_FIELDS, readFile } from './google-drive-files.ts'
import type { DriveRequest, GoogleDriveRequests } from './google-drive-requests.ts'

const MIB = 1024 * 1024

export interface DriveUploadLimits {
  /** Larger bodies are sent in pieces (Drive API, "Upload file data": at most 5 MB in one request). */
  resumableAboveBytes: number
  /** A multiple of 256 KiB ("Perform a resumable upload"); this much is in memory. */
  pieceBytes: number
}

export const DRIVE_UPLOAD_LIMITS: DriveUploadLimits = { resumableAboveBytes: 5_000_000, pieceBytes: 8 * MIB }

export interface DriveUpload {
  /** The file whose content is replaced; a new one is made where it is left out. */
  id?: string
  metadata: JsonObject
  body: ObjectBody
  signal: AbortSignal | undefined
  doing: string
}

/** Stores a file. It is there, whole, with the last request; a replaced one keeps its old content until then. */
export async function storeFile(
  requests: GoogleDriveRequests,
  upload: DriveUpload,
  limits: DriveUploadLimits,
): Promise<DriveFile> {
  try {
    const isLarge = bodyBytes(upload.body) > limits.resumableAboveBytes
    const stored = readFile(await (isLarge ? inPieces(requests, upload, limits) : atOnce(requests, upload)))
    if (stored !== undefined) return stored
  } catch (thrown) {
    throw thrown instanceof BodyFailure ? thrown.cause : thrown
  }
  throw broken(upload, 'Google Drive did not say what it stored')
}

/** Metadata and bytes in one request. */
async function atOnce(requests: GoogleDriveRequests, upload: DriveUpload): Promise<JsonObject> {
  const body = await wholeBody(upload.body, upload.signal)
  // A new one each time: an app's user who knew it could write it into a row, and cut the object there.
  const boundary = `kvar-${requests.randomWord()}`
  const metadata = `content-type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(upload.metadata)}`
  const head = `--${boundary}\r\n${metadata}\r\n--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`
  return requests.sendForJson({
    ...addressOf(requests, upload, 'multipart'),
    headers: { 'content-type': `multipart/related; boundary=${boundary}` },
    body: Buffer.concat([Buffer.from(head), body, Buffer.from(`\r\n--${boundary}--\r\n`)]),
  })
}

async function inPieces(
  requests: GoogleDriveRequests,
  upload: DriveUpload,
  { pieceBytes }: DriveUploadLimits,
): Promise<JsonObject> {
  const totalBytes = bodyBytes(upload.body)
  const session = await beginSession(requests, upload, totalBytes)
  let offset = 0
  for await (const body of bodyPieces(upload.body, pieceBytes, upload.signal)) {
    const end = offset + body.length
    const { signal, doing } = upload
    const headers = { 'content-range': `bytes ${offset}-${end - 1}/${totalBytes}` }
    const answer = await requests.send({ method: 'PUT', url: session, headers, body, signal, doing })
    if (answer.status < 300 && end === totalBytes) return readJson(answer, requests.settings.url)
    // Any other status in the 300s, or a piece taken in part: this upload cannot go on.
    if (answer.status !== 308) throw requests.failure(answer, doing)
    await discard(answer)
    if (answer.headers.range !== `bytes=0-${end - 1}`) throw broken(upload, 'a part of the upload got lost')
    offset = end
  }
  throw broken(upload, 'the upload came to no end')
}

/** The address that takes the pieces. It is believed only when it lies where uploads are sent to. */
async function beginSession(
  requests: GoogleDriveRequests,
  upload: DriveUpload,
  totalBytes: number,
): Promise<string> {
  const answer = await requests.send({
    ...addressOf(requests, upload, 'resumable'),
    headers: {
      'x-upload-content-type': 'application/octet-stream',
      'x-upload-content-length': String(totalBytes),
    },
    json: upload.metadata,
  })
  if (answer.status >= 300) throw requests.failure(answer, upload.doing)
  await discard(answer)
  const { location } = answer.headers
  const isOurs =
    location !== undefined &&
    URL.canParse(location) &&
    originOf(location) === originOf(requests.settings.addresses.upload)
  if (isOurs) return location
  throw broken(upload, 'Google Drive named no address for the upload')
}

function addressOf(
  requests: GoogleDriveRequests,
  { id, signal, doing }: DriveUpload,
  uploadType: 'multipart' | 'resumable',
): Pick<DriveRequest, 'method' | 'url' | 'query' | 'signal' | 'doing'> {
  const { upload } = requests.settings.addresses
  const query = { uploadType, fields: FILE_FIELDS }
  if (id === undefined) return { method: 'POST', url: `${upload}/files`, query, signal, doing }
  return { method: 'PATCH', url: `${upload}/files/${encodeURIComponent(id)}`, query, signal, doing }
}

function originOf(url: string): string {
  return new URL(url).origin
}

function broken({ doing }: DriveUpload, reason: string): TargetError {
  return new TargetError('temporary', `Cannot ${doing}: ${reason}`, {
    hint: 'nothing is lost; it is tried again',
  })
}
