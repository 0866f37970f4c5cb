import { isKey } from '../target.ts'

/*
 * Keys as paths of Dropbox, which takes "App.json" and "app.json" for one file:
 *
 *   a capital letter      `^` and the small letter      copies/App.json → /copies/^app.json
 *   a file without a dot  `^` at its end                kvar/head       → /kvar/head^
 *   a folder with a dot   `^` at its end                a.b/c.ltx       → /a.b^/c.ltx
 *
 * So no file ever has the name of a folder. That matters: removing what turned out to be a folder would
 * remove everything in it. Names of the log (`ltx/0/….ltx`) stay as they are.
 */

/** The path of a key, behind the target's own folder; with a slash in front. */
export function pathOfKey(key: string): string {
  const parts = key.split('/')
  const file = parts.pop() as string
  return `${pathOfFolder(parts)}/${small(file)}${file.includes('.') ? '' : '^'}`
}

/** The path of a folder of keys; empty for the target itself. */
export function pathOfFolder(parts: string[]): string {
  return parts.map((part) => `/${small(part)}${part.includes('.') ? '^' : ''}`).join('')
}

/** The key of a path in small letters, or undefined for a file that is none of ours. */
export function keyOfPath(path: string): string | undefined {
  const key = path
    .slice(1)
    .split('/')
    .map((part) =>
      part.replace(/\^$/, '').replaceAll(/\^([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    )
    .join('/')
  return isKey(key) && pathOfKey(key) === path ? key : undefined
}

function small(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `^${letter.toLowerCase()}`)
}
