import type { IconNode } from 'lucide';

// The icons of the page, and no others: what is not named here is not in the build.
export {
  ArrowDown,
  ArrowUp,
  BookOpen,
  Braces,
  Check,
  ChevronDown,
  ChevronLeft,
  ChevronRight,
  ChevronsUpDown,
  CircleAlert,
  Copy,
  Ellipsis,
  Eye,
  EyeOff,
  Feather,
  Info,
  Keyboard,
  Lightbulb,
  ListChecks,
  LogOut,
  Mail,
  Map,
  PanelLeft,
  Pencil,
  RotateCw,
  Square,
  SquarePen,
  Table,
  Trash2,
  TriangleAlert,
  X,
} from 'lucide';

/** What an icon is drawn of. */
export type IconShape = IconNode;
