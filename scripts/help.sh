# bash scripts/...sh --help prints the comment that a script begins with; the scripts read this file with `.`
case " $* " in
    *" --help "* | *" -h "*)
        sed -n '2,/^[^#]/{/^#/!q; s/^# \{0,1\}//; p}' "$0"
        exit 0
        ;;
esac
