import type { Weekday } from '../shared/calendar-date.ts'

/** Every word of the page, once in each language: a word missing in one of them does not compile. */
export interface Words {
  calendar: string
  locale: string
  otherLanguage: string
  switchLanguage: string
  week: (number: number) => string
  previousWeek: string
  nextWeek: string
  thisWeek: string
  today: string
  add: string
  addOn: (day: string) => string
  people: string
  noPeople: string
  nothingPlanned: string
  newEvent: string
  editEvent: string
  wholeSeries: string
  title: string
  who: string
  somebodyElse: string
  newName: string
  date: string
  firstDate: string
  starts: string
  hours: string
  endsAt: (time: string) => string
  description: string
  repeats: string
  never: string
  every: (weekday: string) => string
  /** The same inside a line. */
  everyInside: (weekday: string) => string
  until: string
  untilHint: string
  reminder: string
  reminderMark: string
  save: string
  saving: string
  cancel: string
  remove: string
  removeOne: (title: string) => string
  removeSeries: (title: string) => string
  reallyRemove: string
  keep: string
  undo: string
  dismiss: string
  loading: string
  askingSafety: string
  latest: (time: string) => string
  waits: string
  weekdays: Record<Weekday, string>
}

const sv: Words = {
  calendar: 'Familjekalender',
  locale: 'sv-SE',
  otherLanguage: 'English',
  switchLanguage: 'Show the calendar in English',
  week: (number) => `Vecka ${number}`,
  previousWeek: 'Förra veckan',
  nextWeek: 'Nästa vecka',
  thisWeek: 'Idag',
  today: 'idag',
  add: 'Ny händelse',
  addOn: (day) => `Ny händelse ${day}`,
  people: 'Familjen',
  noPeople: 'Lägg till den första händelsen. Varje person får en egen färg.',
  nothingPlanned: 'Inget planerat',
  newEvent: 'Ny händelse',
  editEvent: 'Ändra händelse',
  wholeSeries: 'Händelsen upprepas. Det du ändrar gäller alla gånger.',
  title: 'Vad',
  who: 'Vem',
  somebodyElse: 'Någon annan',
  newName: 'Namn',
  date: 'Datum',
  firstDate: 'Första datum',
  starts: 'Börjar',
  hours: 'Timmar',
  endsAt: (time) => `slutar ${time}`,
  description: 'Anteckning',
  repeats: 'Upprepas',
  never: 'Nej',
  every: (weekday) => `Varje ${weekday}`,
  everyInside: (weekday) => `varje ${weekday}`,
  until: 'Till och med',
  untilHint: 'Tomt betyder tills vidare.',
  reminder: 'Märk med en påminnelse',
  reminderMark: 'påminnelse',
  save: 'Spara',
  saving: 'Sparar …',
  cancel: 'Avbryt',
  remove: 'Ta bort',
  removeOne: (title) => `Ta bort ”${title}”?`,
  removeSeries: (title) => `Ta bort ”${title}” alla gånger?`,
  reallyRemove: 'Ja, ta bort',
  keep: 'Behåll',
  undo: 'Ångra',
  dismiss: 'Stäng',
  loading: 'Hämtar veckan …',
  askingSafety: 'Ser efter om allt är sparat …',
  latest: (time) => `Senast ${time}.`,
  waits: 'väntar på lagring',
  weekdays: {
    mån: 'måndag',
    tis: 'tisdag',
    ons: 'onsdag',
    tor: 'torsdag',
    fre: 'fredag',
    lör: 'lördag',
    sön: 'söndag',
  },
}

const en: Words = {
  calendar: 'Family calendar',
  locale: 'en-GB',
  otherLanguage: 'Svenska',
  switchLanguage: 'Visa kalendern på svenska',
  week: (number) => `Week ${number}`,
  previousWeek: 'Previous week',
  nextWeek: 'Next week',
  thisWeek: 'Today',
  today: 'today',
  add: 'New event',
  addOn: (day) => `New event ${day}`,
  people: 'The family',
  noPeople: 'Add the first event. Every person gets a colour of their own.',
  nothingPlanned: 'Nothing planned',
  newEvent: 'New event',
  editEvent: 'Edit event',
  wholeSeries: 'This event repeats. What you change applies to every time.',
  title: 'What',
  who: 'Who',
  somebodyElse: 'Somebody else',
  newName: 'Name',
  date: 'Date',
  firstDate: 'First date',
  starts: 'Starts',
  hours: 'Hours',
  endsAt: (time) => `ends ${time}`,
  description: 'Note',
  repeats: 'Repeats',
  never: 'No',
  every: (weekday) => `Every ${weekday}`,
  everyInside: (weekday) => `every ${weekday}`,
  until: 'Until',
  untilHint: 'Empty means without end.',
  reminder: 'Mark with a reminder',
  reminderMark: 'reminder',
  save: 'Save',
  saving: 'Saving …',
  cancel: 'Cancel',
  remove: 'Delete',
  removeOne: (title) => `Delete “${title}”?`,
  removeSeries: (title) => `Delete “${title}” every time?`,
  reallyRemove: 'Yes, delete',
  keep: 'Keep',
  undo: 'Undo',
  dismiss: 'Close',
  loading: 'Fetching the week …',
  askingSafety: 'Looking whether everything is saved …',
  latest: (time) => `Latest ${time}.`,
  waits: 'waits for storage',
  weekdays: {
    mån: 'Monday',
    tis: 'Tuesday',
    ons: 'Wednesday',
    tor: 'Thursday',
    fre: 'Friday',
    lör: 'Saturday',
    sön: 'Sunday',
  },
}

export const WORDS: Record<'sv' | 'en', Words> = { sv, en }
