import { type Explanation, explainStatus, LATER } from '../http/http-errors.ts'

/**
 * Statuses with a meaning of their own in WebDAV (RFC 4918 sections 9 and 11). All others are judged as
 * with any server. 409 says that a parent folder is missing: it only gets here when making it did not help.
 */
const STATUSES: Record<number, Explanation> = {
  401: {
    failure: 'denied',
    reason: 'the server does not accept user and password',
    hint: 'check the user in the target and KVAR_WEBDAV_PASSWORD; some servers want an app password',
  },
  403: {
    failure: 'denied',
    reason: 'the user may not',
    hint: 'give the user the right to write there; is the address that of WebDAV, and not of the web page?',
  },
  404: {
    failure: 'temporary',
    reason: 'its folder is gone, although it was there before',
    hint: `is the disk of the server mounted? ${LATER}`,
  },
  405: {
    failure: 'permanent',
    reason: 'the server does not take WebDAV at this address',
    hint: 'look up the address for WebDAV in the help of the provider',
  },
  409: {
    failure: 'permanent',
    reason: 'a file stands where a folder belongs, or the folder above is missing',
    hint: 'look at the folder, and make the one above it by hand',
  },
  423: { failure: 'temporary', reason: 'another program has locked it', hint: LATER },
}

export function explainWebdav(status: number): Explanation {
  return STATUSES[status] ?? explainStatus(status)
}
