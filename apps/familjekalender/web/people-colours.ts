/** How many colours styles/colours.css has, as classes `person-0` … `person-7`. */
export const COLOUR_COUNT = 8

/**
 * A colour for each person, the same on every device without being stored: a name prefers one
 * colour, and who came later takes the next free one. With more people than colours they are shared.
 *
 * @param people names in the order in which they first got an event
 */
export function personColours(people: readonly string[]): Map<string, number> {
  const colours = new Map<string, number>()
  const taken = new Set<number>()
  for (const name of people) {
    if (taken.size === COLOUR_COUNT) taken.clear()
    let colour = preferred(name)
    while (taken.has(colour)) colour = (colour + 1) % COLOUR_COUNT
    taken.add(colour)
    colours.set(name, colour)
  }
  return colours
}

/** FNV-1a over the name's UTF-16 units: even for names that differ in one letter. */
function preferred(name: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < name.length; index++)
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193)
  return (hash >>> 0) % COLOUR_COUNT
}
