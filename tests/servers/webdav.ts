import { createHash } from 'node:crypto'

export interface WebdavServer {
  /** Of the folder that WebDAV serves, without a slash at its end. */
  url: string
  /** The same folder on the disk. */
  root: string
  credentials: { user: string; password: string }
  stop(): Promise<void>
}

export const WEBDAV_CREDENTIALS = { user: 'anna', password: 'a test: pä55word' }

/** One line of a password file, in the form that Apache and nginx both read. */
export function passwordLine(): string {
  const { user, password } = WEBDAV_CREDENTIALS
  return `${user}:{SHA}${createHash('sha1').update(password).digest('base64')}\n`
}
