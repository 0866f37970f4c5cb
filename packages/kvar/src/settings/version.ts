/** The program's version, as `kvar --version` and the status show it. */
export const VERSION = '0.1.0'
